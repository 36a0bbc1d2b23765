/* Inputs with data-chips show their items as chips: Enter or a comma adds one, Backspace takes the last one back.
   Percentages are checked as they are typed, in the words of the server (rule 7.2), which decides. */
(() => {
  const MOST = 20;
  const split = (text) => text.split(",").map((item) => item.trim()).filter(Boolean);
  const ordinal = (number) => `${number}${{ 1: "st", 2: "nd", 3: "rd" }[number] || "th"}`;
  const percent = (item) => Number(item.replace(/\s*%$/, ""));

  const problemOf = (items) => {
    if (items.length > MOST) return `At most ${MOST} thresholds, not ${items.length}.`;
    for (const [index, item] of items.entries()) {
      const number = percent(item);
      const place = ordinal(index + 1);
      if (Number.isNaN(number)) return `“${item}” is no number; write percentages such as 90, 75, 50.`;
      if (number <= 0 || number > 100) return `The ${place}, ${item}, is not above 0 and at most 100.`;
      const before = index && percent(items[index - 1]);
      if (index && number >= before) {
        const relation = number > before ? "is above" : "repeats";
        return `Thresholds must descend: 90, 75, 50; the ${place}, ${number}, ${relation} the ${ordinal(index)}, ${before}.`;
      }
    }
    return "";
  };

  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

  const enhance = (source) => {
    const isPercent = source.dataset.chips === "percent";
    const field = make("div", { className: "tg-chips" });
    const list = make("ul", {});
    const entry = make("input", { type: "text", id: source.id, autocomplete: "off" });
    const problem = make("p", { className: "tg-problem", id: `${source.id}_problem` });
    problem.setAttribute("role", "alert");
    entry.setAttribute("aria-describedby", problem.id);
    source.removeAttribute("id");
    source.type = "hidden";
    let items = split(source.value);

    const tell = () => {
      const all = [...items, ...split(entry.value)];
      source.value = all.join(", ");
      problem.textContent = isPercent ? problemOf(all) : "";
      entry.setAttribute("aria-invalid", String(Boolean(problem.textContent)));
    };
    const draw = () => {
      list.replaceChildren(...items.map((item, index) => {
        const chip = make("li", { textContent: isPercent ? `${item.replace(/\s*%$/, "")} %` : item });
        const remove = make("button", { type: "button", textContent: "×" });
        remove.setAttribute("aria-label", `Remove ${item}`);
        remove.addEventListener("click", () => { items.splice(index, 1); draw(); entry.focus(); });
        chip.append(remove);
        return chip;
      }));
      tell();
    };
    const take = () => {
      if (!entry.value.trim()) return;
      items = [...items, ...split(entry.value)];
      entry.value = "";
      draw();
    };
    entry.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === ",") && entry.value.trim()) {
        event.preventDefault();
        take();
      } else if (event.key === "Backspace" && !entry.value && items.length) {
        event.preventDefault();
        entry.value = items.pop();
        draw();
      }
    });
    entry.addEventListener("input", () => (entry.value.includes(",") ? take() : tell()));
    entry.addEventListener("blur", take);
    field.addEventListener("click", (event) => { if (event.target === field || event.target === list) entry.focus(); });
    source.after(field, problem);
    field.append(list, entry);
    draw();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("input[data-chips]").forEach(enhance));
})();
