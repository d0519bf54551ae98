"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const dialog = one("#dialog"), shown = one("#shown"), said = one("#said");

  const make = (tag, text, kind) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };

  const say = (text) => {
    said.textContent = text;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => { said.textContent = ""; }, 2500);
  };

  const open = (title, ...content) => {
    shown.replaceChildren(make("h2", title), ...content);
    if (!dialog.open) dialog.showModal();
  };

  // Sorting: by any column, first in the direction that is better; what has no number comes last.
  const cost = (value, better) => better === "higher" ? -value : better === "zero" ? Math.abs(value) : value;

  const key = (row, index, head) => {
    if (head.dataset.column === "model") return row.dataset.model;
    const text = row.cells[index].dataset.value;
    return text === undefined ? undefined : cost(Number(text), head.dataset.better);
  };

  const sort = (table, head) => {
    const index = head.cellIndex, better = head.dataset.better === "higher" ? "descending" : "ascending";
    const other = better === "ascending" ? "descending" : "ascending";
    const turned = head.getAttribute("aria-sort") === better;
    const body = table.tBodies[0], sign = turned ? -1 : 1;
    const rows = [...body.rows].map((row) => [key(row, index, head), row]);
    rows.sort(([a], [b]) => {
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return sign * (a < b ? -1 : a > b ? 1 : 0);
    });
    all("th[aria-sort]", table).forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", turned ? other : better);
    body.append(...rows.map(([, row]) => row));
    if (head.dataset.group !== undefined) rank(table, index, head);
  };

  // Ranks are those of the column that the table is sorted by.
  const rank = (table, index, head) => {
    const pairs = [...table.tBodies[0].rows].map((row) => (row.cells[index].dataset.ranks || "").split("-").map(Number));
    const last = Math.max(1, ...pairs.map((pair) => pair[1] || 1));
    [...table.tBodies[0].rows].forEach((row, place) => {
      const [low, high] = pairs[place], cell = row.cells[0];
      cell.textContent = low ? (low === high ? `${low}` : `${low}-${high}`) : "";
      if (!low) return;
      const bar = make("i", "", "bar"), percent = (value) => 100 * (value - 1) / Math.max(1, last - 1);
      bar.setAttribute("aria-hidden", "true");
      bar.style.setProperty("--low", percent(low));
      bar.style.setProperty("--at", percent((low + high) / 2));
      bar.style.setProperty("--high", percent(high));
      cell.append(bar);
    });
    table.dataset.sorted = head.dataset.column;
  };

  // Folding: of a folded group its main columns stay.
  const fold = (part, button, folded) => {
    const group = button.dataset.group, table = one("table.board", part);
    const heads = all(`tr.heads th[data-group="${group}"]`, table);
    heads.filter((head) => head.dataset.main === undefined).forEach((head) => {
      head.hidden = folded;
      [...table.tBodies[0].rows].forEach((row) => { row.cells[head.cellIndex].hidden = folded; });
    });
    one(`tr.groups th[data-group="${group}"]`, table).colSpan = heads.filter((head) => !head.hidden).length;
    button.setAttribute("aria-expanded", String(!folded));
  };

  // Filtering: every word must be in a model's name or family; words with a minus must not.
  const filter = () => {
    const words = one("#filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const family = one("#family") ? one("#family").value : "";
    const wanted = words.filter((word) => word[0] !== "-"), barred = words.filter((word) => word[0] === "-" && word.length > 1);
    const passes = (element) => {
      const text = `${element.dataset.model} ${element.dataset.family}`.toLowerCase();
      return (!family || element.dataset.family === family) && (!wanted.length || wanted.some((word) => text.includes(word)))
        && !barred.some((word) => text.includes(word.slice(1)));
    };
    all("[data-model]").forEach((element) => { element.hidden = !passes(element); });
    const rows = all("table.board tbody tr"), left = rows.filter((row) => !row.hidden).length;
    one("#count").textContent = left === rows.length ? "" : `${left} of ${rows.length} rows`;
  };

  // Copying: what is seen, in the order in which it is seen; numbers in full as CSV, as text in Markdown.
  const text = (cell) => (cell.innerText || cell.textContent).replace(/[\u25B2\u25BC]/g, "").replace(/\s+/g, " ").trim();
  const quoted = (value) => /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const plain = (value) => /^\s*[=+\-@]/.test(value) ? `'${value}` : value;

  const grid = (table) => {
    const heads = [...one("tr.heads", table).cells].filter((head) => !head.hidden);
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return [heads, rows.map((row) => heads.map((head) => row.cells[head.cellIndex]))];
  };

  const csv = (table) => {
    const [heads, rows] = grid(table);
    const names = heads.flatMap((head) => {
      const name = head.dataset.column === "#" ? "rank" : head.dataset.column;
      return head.dataset.group === undefined ? [name] : [name, `${name}_stderr`];
    });
    const lines = rows.map((cells) => cells.flatMap((cell, place) => {
      if (heads[place].dataset.group !== undefined) return [cell.dataset.value || "", cell.dataset.error || ""];
      return [place === 1 ? plain(cell.parentNode.dataset.model) : text(cell)];
    }));
    return [names, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  };

  const markdown = (table) => {
    const [heads, rows] = grid(table);
    const safe = (value) => value.replace(/([\\`*_[\]|~])/g, "\\$1").replaceAll("<", "&lt;");
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const rule = heads.map((head, place) => place === 1 ? "---" : "---:");
    const body = rows.map((cells) => cells.map((cell, place) => place === 1 ? safe(cell.parentNode.dataset.model) : text(cell)));
    return [line(heads.map(text).map(safe)), line(rule), ...body.map(line)].join("\n") + "\n";
  };

  const copy = async (content, what) => {
    try {
      await navigator.clipboard.writeText(content);
      say(`${what} copied`);
    } catch {
      const area = make("textarea", content);
      open(`${what}: copy with Ctrl-C`, area);
      area.select();
    }
  };

  // A model's card: from the section of models, with its samples on every board.
  const card = (name) => {
    const details = all("details.card").find((each) => each.dataset.model === name);
    const body = one(".body", details).cloneNode(true);
    const summary = one("summary small", details);
    const pictures = all(".samples figure").filter((figure) => figure.dataset.model === name).map((figure) => {
      const clone = figure.cloneNode(true);
      clone.hidden = false;
      one("figcaption", clone).textContent = figure.closest("section").dataset.board;
      return clone;
    });
    const samples = make("div", "", "grid samples");
    samples.append(...pictures);
    all("a", body).forEach((link) => link.addEventListener("click", () => dialog.close()));
    open(name, ...(summary ? [make("p", summary.textContent)] : []), samples, body);
    dialog.scrollTop = 0;
  };

  const button = (head, action) => {
    const inside = make("button", "");
    inside.type = "button";
    inside.append(...head.childNodes);
    inside.addEventListener("click", action);
    head.append(inside);
  };

  all("section.part").forEach((part) => {
    const table = one("table.board", part), folds = one(".folds", part);
    folds.hidden = false;
    all("tr.heads th", table).filter((head) => head.dataset.column !== "#").forEach((head) => button(head, () => sort(table, head)));
    all("tbody th.name", table).forEach((head) => button(head, () => card(head.parentNode.dataset.model)));
    all(".fold", folds).forEach((each) => {
      const heads = all(`tr.heads th[data-group="${each.dataset.group}"]`, table);
      if (heads.every((head) => head.dataset.main !== undefined)) each.hidden = true;
      else fold(part, each, true);
      each.addEventListener("click", () => fold(part, each, each.getAttribute("aria-expanded") === "true"));
    });
    all("[data-copy]", folds).forEach((each) => each.addEventListener("click", () => {
      if (each.dataset.copy === "csv") copy(csv(table), "CSV");
      else copy(markdown(table), "Markdown");
    }));
  });

  one("form.tools").addEventListener("submit", (event) => event.preventDefault());
  one("#filter").addEventListener("input", filter);
  if (one("#family")) one("#family").addEventListener("change", filter);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  const theme = one("#theme");
  const paint = () => {
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
    try { localStorage.setItem("genbench-theme", theme.value); } catch { /* a page from a file may have no storage */ }
  };
  try { theme.value = localStorage.getItem("genbench-theme") || ""; } catch { /* as above */ }
  theme.addEventListener("change", paint);
  paint();
})();
