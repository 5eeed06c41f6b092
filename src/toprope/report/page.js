// The heat map tells of the cell under the pointer.
(() => {
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
