// Parallel coordinates of the runs of a sweep: data = {axes: [{name, log, ticks: [[place, label]]}], runs: [{name,
// places: [0..1 or null for each axis], quality: 0..1 or null, finished}]}. Place 0 is the bottom of an axis.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svg = document.getElementById("chart");
  const rows = [...document.querySelectorAll("tr[data-run]")];
  const top = 46, bottom = 404, left = 70, names = "http://www.w3.org/2000/svg";
  const brushes = data.axes.map(() => null);
  const make = (kind, attributes, parent = svg) => {
    const node = document.createElementNS(names, kind);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return parent.appendChild(node);
  };
  // Poor runs are blue-grey, good ones orange; in between the hue turns over violet and red.
  const colour = (quality) =>
    quality === null ? "#8b9098" : `hsl(${(220 + 165 * quality) % 360} ${30 + 55 * quality}% ${58 - 6 * quality}%)`;
  const height = (place) => bottom - place * (bottom - top);
  let lines = [];

  function draw() {
    svg.replaceChildren();
    const width = svg.getBoundingClientRect().width;
    const step = (width - 2 * left) / Math.max(1, data.axes.length - 1);
    const across = (axis) => left + axis * step;
    // The best runs are drawn last, on top.
    const order = data.runs.map((_, run) => run).sort((a, b) => (data.runs[a].quality ?? -1) - (data.runs[b].quality ?? -1));
    lines = [];
    for (const run of order) {
      const { places, quality, finished, name } = data.runs[run];
      const known = places.map((place, axis) => [across(axis), place]).filter(([, place]) => place !== null);
      const path = known.map(([x, place], point) => `${point ? "L" : "M"}${x} ${height(place)}`).join("");
      const line = make("path", { d: path, stroke: colour(quality), class: finished ? "" : "unfinished" });
      make("title", {}, line).textContent = name;
      line.addEventListener("mouseenter", () => mark(run, true));
      line.addEventListener("mouseleave", () => mark(run, false));
      lines[run] = line;
    }
    data.axes.forEach((axis, number) => drawAxis(axis, number, across(number), step));
    filter();
  }

  function drawAxis(axis, number, x, step) {
    make("line", { x1: x, x2: x, y1: top, y2: bottom, class: "axis" });
    const room = Math.max(8, Math.floor(step / 7.4));
    const label = axis.name.length > room ? `…${axis.name.slice(1 - room)}` : axis.name;
    const name = make("text", { x, y: 20, "text-anchor": "middle", class: "name" });
    name.textContent = label;
    make("title", {}, name).textContent = axis.name;
    for (const [place, text] of axis.ticks) {
      make("line", { x1: x - 4, x2: x + 4, y1: height(place), y2: height(place), class: "axis" });
      const tick = make("text", { x: x + 7, y: height(place) + 4 });
      tick.textContent = text;
    }
    const brush = make("rect", { x: x - 9, width: 18, y: 0, height: 0, class: "brush" });
    const hold = make("rect", { x: x - 14, width: 28, y: top - 6, height: bottom - top + 12, class: "hold" });
    const show = () => {
      const kept = brushes[number];
      brush.setAttribute("y", kept ? height(kept[1]) : 0);
      brush.setAttribute("height", kept ? height(kept[0]) - height(kept[1]) : 0);
    };
    const place = (event) => {
      const y = event.clientY - svg.getBoundingClientRect().top;
      return Math.min(1.02, Math.max(-0.02, (bottom - y) / (bottom - top)));
    };
    let from = null;
    hold.addEventListener("pointerdown", (event) => { from = place(event); hold.setPointerCapture(event.pointerId); });
    hold.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const to = place(event);
      brushes[number] = Math.abs(to - from) < 0.01 ? null : [Math.min(from, to), Math.max(from, to)];
      show();
      filter();
    });
    hold.addEventListener("pointerup", (event) => {
      if (Math.abs(place(event) - from) < 0.01) brushes[number] = null;
      from = null;
      show();
      filter();
    });
    show();
  }

  const isKept = (run) => brushes.every((kept, axis) => {
    const place = data.runs[run].places[axis];
    return !kept || (place !== null && place >= kept[0] && place <= kept[1]);
  });

  function filter() {
    data.runs.forEach((_, run) => {
      lines[run].classList.toggle("out", !isKept(run));
      rows[run].classList.toggle("out", !isKept(run));
    });
  }

  function mark(run, on) {
    lines[run].classList.toggle("marked", on);
    rows[run].classList.toggle("marked", on);
    if (on) svg.insertBefore(lines[run], svg.querySelector("line"));
  }

  rows.forEach((row, run) => {
    row.querySelector(".swatch").style.background = colour(data.runs[run].quality);
    row.addEventListener("mouseenter", () => mark(run, true));
    row.addEventListener("mouseleave", () => mark(run, false));
  });
  addEventListener("resize", draw);
  draw();
})();
