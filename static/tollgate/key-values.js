/* Textareas with data-key-values hold a JSON object: rows of names and values stand above, the JSON underneath.
   A value is a text unless its row says JSON: numbers, true, false, lists, objects. */
(() => {
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  const read = (text) => {
    if (!text.trim()) return {};
    try {
      const value = JSON.parse(text);
      return isObject(value) ? value : null;
    } catch {
      return null;
    }
  };

  const enhance = (source) => {
    const rows = make("div", { className: "tg-pairs-rows" });
    const problem = make("p", { className: "tg-problem" });
    problem.setAttribute("role", "alert");
    const add = make("button", { type: "button", className: "tg-button", textContent: "Add a field" });
    const json = make("details", {});
    json.append(make("summary", { textContent: "JSON" }));

    const write = () => {
      const object = {};
      problem.textContent = "";
      for (const row of rows.children) {
        const [name, kind, value] = row.querySelectorAll("input, select");
        if (!name.value && !value.value) continue;
        if (!name.value) problem.textContent = "A value has no name.";
        else if (name.value in object) problem.textContent = `“${name.value}” stands there twice; the last one counts.`;
        try {
          object[name.value] = kind.value === "json" ? JSON.parse(value.value) : value.value;
        } catch {
          problem.textContent = `“${value.value}” is no JSON: write a number, true, false, a list or an object.`;
          object[name.value] = value.value;
        }
      }
      source.value = JSON.stringify(object, null, 2);
    };
    const addRow = (key, content) => {
      const row = make("div", { className: "tg-pair" });
      const name = make("input", { type: "text", value: key, spellcheck: false });
      const kind = make("select", {});
      kind.append(new Option("text", "text"), new Option("JSON", "json"));
      kind.value = typeof content === "string" ? "text" : "json";
      const value = make("input", { type: "text", spellcheck: false });
      value.value = typeof content === "string" ? content : JSON.stringify(content);
      const remove = make("button", { type: "button", textContent: "×" });
      name.setAttribute("aria-label", "Name");
      kind.setAttribute("aria-label", "Kind of value");
      value.setAttribute("aria-label", "Value");
      remove.setAttribute("aria-label", `Remove ${key || "field"}`);
      remove.addEventListener("click", () => { row.remove(); write(); add.focus(); });
      row.append(name, kind, value, remove);
      rows.append(row);
      return name;
    };
    const show = () => {
      const object = read(source.value);
      rows.hidden = add.hidden = object === null;
      json.open ||= object === null;
      problem.textContent = object === null ? "This is no JSON object; rows are shown again when it is one." : "";
      if (object) rows.replaceChildren();
      for (const [key, content] of Object.entries(object || {})) addRow(key, content);
    };
    rows.addEventListener("input", write);
    source.addEventListener("input", show);
    add.addEventListener("click", () => addRow("", "").focus());
    const field = make("div", { className: "tg-pairs" });
    source.before(field);
    field.append(rows, problem, add, json);
    json.append(source);
    show();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("textarea[data-key-values]").forEach(enhance));
})();
