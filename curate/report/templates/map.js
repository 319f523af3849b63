(() => {
  // --- The map: a mark for each item, and the card of the one that is pointed at --------------------------------
  const $ = (id) => document.getElementById(id);
  const frame = $("map-frame");
  if (!frame) return;
  const { points, highlights } = JSON.parse($("map-data").textContent);
  const svg = frame.querySelector("svg"), box = svg.viewBox.baseVal, empty = $("map-card").firstElementChild;
  const marks = new Map([...svg.querySelectorAll("[data-i]")].map((mark) => [+mark.dataset.i, mark]));
  const around = document.createElementNS(svg.namespaceURI, "circle");
  around.setAttribute("class", "around");
  around.setAttribute("r", "9");
  let chosen = null, at = -1, held = false;

  function make(tag, name, text) {
    const made = document.createElement(tag);
    made.className = name;
    if (text !== undefined) { made.textContent = text; made.dir = "auto"; }
    return made;
  }

  function picture(seen, id) {
    if (!seen.uri) return make("span", "hole", seen.problem || "no picture");
    const image = make("img", seen.width > 0 && seen.width <= 96 && seen.height <= 96 ? "tiny" : "");
    image.alt = `item ${id}`;
    image.src = seen.uri;
    return image;
  }

  function reason(point, i) {
    if (!chosen) return point.why;
    const name = `selection ${chosen.name}`, why = chosen.points.get(i);
    return why === undefined ? `not in ${name}` : why ? `in ${name}: ${why}` : `in ${name}`;
  }

  function card(i) {
    const point = points[i], whole = make("article", `card ${point.status.replace(" ", "-")}`);
    const pill = point.status ? make("span", `pill ${point.status.replace(" ", "-")}`, point.status) : null;
    if (point.picture) {
      const media = make("div", "media");
      media.append(picture(point.picture, point.id), ...(pill ? [pill] : []));
      whole.append(media);
    }
    const body = make("div", "body"), head = make("div", "card-head");
    head.append(make("strong", "open", point.id), ...(pill && !point.picture ? [pill] : []));
    body.append(head);
    if (point.label || point.suggested) {
      const label = make("p", "label");
      label.append(make("span", "given", point.label || "–"));
      if (point.suggested) label.append(" → ", make("strong", "suggested", point.suggested));
      body.append(label);
    }
    for (const [name, text] of point.texts) {
      const shown = make("p", "text", text);
      if (point.texts.length > 1) { const role = make("span", "role", name); shown.prepend(role); }
      body.append(shown);
    }
    if (point.scores.length) {
      const list = make("dl", "scores");
      for (const [name, value] of point.scores) {
        const line = document.createElement("div");
        line.append(make("dt", "", name), make("dd", "", value));
        list.append(line);
      }
      body.append(list);
    }
    const why = [point.asked ? "people answered" : "", reason(point, i)].filter(Boolean).join(" · ");
    if (why) body.append(make("p", "why", why));
    whole.append(body);
    return whole;
  }

  function show(i) {
    at = i;
    if (i < 0) { around.remove(); $("map-card").replaceChildren(empty); return; }
    around.setAttribute("cx", points[i].x);
    around.setAttribute("cy", points[i].y);
    svg.append(around);
    $("map-card").replaceChildren(card(i));
  }

  function nearest(x, y, reach, allowed = () => true) {
    let best = -1, least = reach * reach;
    points.forEach((point, i) => {
      const far = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (far < least && allowed(point)) { best = i; least = far; }
    });
    return best;
  }

  function under(event) {
    const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return nearest(spot.x, spot.y, 18);
  }

  svg.addEventListener("pointermove", (event) => {
    const i = held ? -1 : under(event);
    if (i >= 0 && i !== at) show(i);
  });
  svg.addEventListener("click", (event) => {
    const i = under(event);
    held = i >= 0 && !(held && i === at);
    if (i >= 0) show(i);
  });

  // An arrow key goes to the nearest mark in a quarter of the plane on that side.
  const sides = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { held = false; show(-1); return; }
    const side = sides[event.key];
    if (!side) return;
    event.preventDefault();
    const from = at >= 0 ? points[at] : { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    const i = nearest(from.x, from.y, 1e6, (point) => {
      const ahead = (point.x - from.x) * side[0] + (point.y - from.y) * side[1];
      return ahead > 0 && 2 * ahead * ahead >= (point.x - from.x) ** 2 + (point.y - from.y) ** 2;
    });
    if (i >= 0) { held = true; show(i); }
  });

  // --- Which selection is shown ----------------------------------------------------------------------------------
  highlights.forEach((one) => { one.points = new Map(one.points); });
  $("map-of")?.addEventListener("change", (event) => {
    chosen = event.target.value === "" ? null : highlights[+event.target.value];
    svg.classList.toggle("by-selection", chosen !== null);
    marks.forEach((mark, i) => {
      const inside = chosen !== null && chosen.points.has(i);
      mark.classList.toggle("in", inside);
      if (inside) mark.parentNode.append(mark);
    });
    document.querySelectorAll("#map .legend").forEach((one) => { one.hidden = one.dataset.for !== event.target.value; });
    if (at >= 0) show(at);
  });
  if ($("map-pick")) $("map-pick").hidden = false;
  $("map-card").hidden = false;
})();
