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
})();
