// Hover only: the page says everything without it.
(() => {
  const tip = document.getElementById("tip");
  const place = (event) => {
    const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, right)}px`;
    tip.style.top = `${event.clientY + (event.clientY > innerHeight - 90 ? -46 : 16)}px`;
  };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest?.("[data-tip]");
    tip.hidden = !mark;
    if (mark) { tip.textContent = mark.dataset.tip; place(event); }
  });
  const data = document.getElementById("heat-data");
  if (!data) return;
  const { iterations, names, rows } = JSON.parse(data.textContent);
  const cells = document.querySelector(".heat .cells");
  const told = document.getElementById("heat-told");
  const help = { "g-seeded": ", seeded by the teacher", "g-control": ", never seeded" };
  cells.addEventListener("pointermove", (event) => {
    const area = cells.getBoundingClientRect();
    const x = Math.floor((event.clientX - area.left) / area.width * iterations.length);
    const y = Math.floor((event.clientY - area.top) / area.height * rows.length);
    const row = rows[y];
    if (!row || iterations[x] === undefined) return;
    told.textContent = `${row[0]}: ${names[row[1][x]]} after iteration ${iterations[x]}${help[row[2]] ?? ""}`;
  });
})();
