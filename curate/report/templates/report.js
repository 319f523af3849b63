"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // --- The viewer: a card, large -----------------------------------------------------------------------------
  const viewer = $("viewer");
  let around = [], at = 0;

  function show(step) {
    at = (at + step + around.length) % around.length;
    const copy = around[at].cloneNode(true);
    copy.querySelectorAll("button.open").forEach((b) => {
      const title = document.createElement("strong");
      title.className = "open";
      title.textContent = b.textContent;
      b.replaceWith(title);
    });
    copy.querySelectorAll("img").forEach((image) => { image.loading = "eager"; });
    $("viewed").replaceChildren(copy);
    $("position").textContent = `${at + 1} of ${around.length}`;
  }

  document.addEventListener("click", (event) => {
    const card = event.target.closest("main .card");
    if (!card || event.target.closest("audio") || String(getSelection())) return;
    const group = card.closest(".gallery, .group") || card.parentElement;
    around = [...group.querySelectorAll(".card")];
    at = around.indexOf(card);
    show(0);
    if (!viewer.open) viewer.showModal();
  });
  $("back").addEventListener("click", () => show(-1));
  $("forward").addEventListener("click", () => show(1));
  $("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => $("viewed").replaceChildren());
  viewer.addEventListener("keydown", (event) => {
    if (event.target.closest("audio")) return;
    if (event.key === "ArrowLeft") show(-1);
    if (event.key === "ArrowRight") show(1);
  });

  // --- Where we are ------------------------------------------------------------------------------------------
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((a) => a.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("main > section").forEach((section) => seen.observe(section));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));

  // --- The table ---------------------------------------------------------------------------------------------
  if (!$("rows")) return;
  const { columns, rows } = JSON.parse($("rows").textContent);
  const collator = new Intl.Collator("en", { numeric: true });
  const status = columns.findIndex((c) => c.type === "status");
  const haystack = rows.map((row) => row.filter((v, i) => columns[i].type !== "number" && v !== null).join("\n").toLowerCase());
  const state = { text: "", status: "", column: -1, down: false, page: 0, size: 25 };

  function number(value) {
    if (value === null) return "–";
    if (Number.isInteger(value)) return value.toLocaleString("en-US");
    if (Math.abs(value) >= 1e4) return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
    if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
    return String(+value.toPrecision(4));
  }

  function compare(a, b) {
    const x = rows[a][state.column], y = rows[b][state.column];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const order = columns[state.column].type === "number" ? x - y : collator.compare(x, y);
    return (state.down ? -order : order) || a - b;
  }

  function cell(value, column) {
    const td = document.createElement("td");
    td.className = column.type === "number" ? "n" : "t";
    if (column.type === "number") { td.textContent = number(value); return td; }
    const span = document.createElement("span");
    span.textContent = value === null ? "" : value;
    if (column.type === "status") span.className = value ? `pill ${value.replace(" ", "-")}` : "";
    else { span.className = !value || value.length <= 12 ? "cell" : value.length <= 40 ? "cell mid" : "cell long"; span.dir = "auto"; if (value && value.length > 60) span.title = value; }
    td.append(span);
    return td;
  }

  function draw() {
    let found = rows.map((_, i) => i).filter((i) =>
      (!state.text || haystack[i].includes(state.text)) && (!state.status || rows[i][status] === state.status));
    if (state.column >= 0) found.sort(compare);
    const pages = Math.max(1, Math.ceil(found.length / state.size));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * state.size, page = found.slice(first, first + state.size);
    const body = document.createElement("tbody");
    for (const i of page) {
      const tr = document.createElement("tr");
      rows[i].forEach((value, c) => tr.append(cell(value, columns[c])));
      body.append(tr);
    }
    $("table").tBodies[0].replaceWith(body);
    const n = (value) => value.toLocaleString("en-US");
    $("shown").textContent = page.length
      ? `${n(first + 1)}–${n(first + page.length)} of ${n(found.length)} rows`
      : "No row matches.";
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page >= pages - 1;
    document.querySelectorAll("#table th").forEach((th, c) =>
      th.setAttribute("aria-sort", c !== state.column ? "none" : state.down ? "descending" : "ascending"));
  }

  function change(values) { Object.assign(state, { page: 0 }, values); draw(); }

  $("filter").addEventListener("input", (event) => change({ text: event.target.value.trim().toLowerCase() }));
  $("size").addEventListener("change", (event) => change({ size: +event.target.value }));
  $("previous").addEventListener("click", () => change({ page: state.page - 1 }));
  $("next").addEventListener("click", () => change({ page: state.page + 1 }));
  $("switch").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    $("switch").querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
    change({ status: button.dataset.status });
  });
  $("table").tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const column = +button.dataset.column;
    // Third press: back to the order of the file.
    if (column !== state.column) change({ column, down: false });
    else if (!state.down) change({ column, down: true });
    else change({ column: -1, down: false });
  });
  $("toolbar").hidden = false;
  $("pages").hidden = false;
  draw();
})();
