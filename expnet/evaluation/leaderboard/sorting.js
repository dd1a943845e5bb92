// A click on a heading sorts by it, the best first; a second click turns the order round. Rows without a value stay last.
const body = document.querySelector("#board tbody");
const headings = [...document.querySelectorAll("#board thead th")];
headings.forEach((heading, column) => {
  const button = heading.querySelector("button");
  button.addEventListener("click", () => {
    const turned = heading.getAttribute("aria-sort") === "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", turned ? "descending" : "ascending");
    const key = (row) => (column === 0 ? row.cells[0].textContent.trim().toLowerCase() : row.cells[column].dataset.rank);
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = column === 0 ? a.localeCompare(b) : Number(a) - Number(b);
      return turned ? -order : order;
    });
    body.append(...rows);
  });
});
document.querySelector("#published")?.addEventListener("change", (event) => {
  body.querySelectorAll("tr.published").forEach((row) => { row.hidden = !event.target.checked; });
});
