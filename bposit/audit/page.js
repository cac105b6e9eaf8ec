"use strict";
(() => {
  const table = document.getElementById("table");
  const heads = [...table.tHead.rows[0].cells];
  const keyOf = (row, i) => row.cells[i].dataset.key;
  const order = (i) => (a, b) => i < 2
    ? keyOf(a, i).localeCompare(keyOf(b, i), "en")
    : Number(keyOf(a, i)) - Number(keyOf(b, i)) || 0;
  heads.forEach((head, i) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort(order(i));
    body.append(...(down ? rows.reverse() : rows));
  }));
  const open = () => {
    const found = location.hash && document.getElementById(location.hash.slice(1));
    if (found && found.tagName === "DETAILS") {
      found.open = true;
      found.firstElementChild.focus();
      found.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  document.querySelectorAll("tbody a").forEach((a) => a.addEventListener("click", () => setTimeout(open)));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  open();
})();
