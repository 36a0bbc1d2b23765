/* A textarea with data-preview-url holds a webhook's template: names to insert, what is wrong as it is typed, and the
   body for a sample event. */
(() => {
  const PAUSE_MS = 300;
  const FINE = "Sent for a sample event";
  const BROKEN = "Nothing to show: a template with a mistake cannot be saved. What was saved before stays in use.";
  const SILENT = "The preview does not answer.";
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

  const enhance = (source) => {
    const names = make("div", { className: "tg-names" });
    names.setAttribute("role", "group");
    names.setAttribute("aria-label", "Insert a placeholder");
    for (const name of source.dataset.templateNames.split(" ")) {
      const button = make("button", { type: "button", textContent: name, title: `Insert {{ ${name} }}` });
      button.addEventListener("click", () => {
        source.setRangeText(`{{ ${name} }}`, source.selectionStart, source.selectionEnd, "end");
        source.focus();
        source.dispatchEvent(new Event("input", { bubbles: true }));
      });
      names.append(button);
    }
    const problem = make("p", { className: "tg-problem" });
    problem.setAttribute("role", "alert");
    const title = make("p", { className: "tg-muted", textContent: FINE });
    const body = make("code", { className: "tg-code" });
    source.after(names, problem, title, body);

    const path = source.form.elements["template_path"];
    let timer = 0;
    let asked = 0;
    const show = async () => {
      const number = ++asked;
      const answer = await ask(source, path).catch(() => ({ body: "" }));
      if (number !== asked) return;
      problem.textContent = answer.error || "";
      source.setAttribute("aria-invalid", String(Boolean(answer.error)));
      title.textContent = answer.error ? BROKEN : answer.body ? FINE : SILENT;
      body.textContent = answer.body || "";
      body.hidden = !answer.body;
      select(source, answer.error || "");
    };
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(show, PAUSE_MS);
    };
    source.addEventListener("input", later);
    if (path) path.addEventListener("input", later);
    show();
  };

  const ask = async (source, path) => {
    const form = new FormData();
    form.set("csrfmiddlewaretoken", source.form.elements["csrfmiddlewaretoken"].value);
    form.set("template", source.value);
    form.set("template_path", path ? path.value : "");
    const response = await fetch(source.dataset.previewUrl, { method: "POST", body: form });
    return response.json();
  };

  /* The line that the message names is brought into sight, but never away from where somebody types. */
  const select = (source, message) => {
    const line = /\bline (\d+)/.exec(message);
    if (!line || document.activeElement === source) return;
    source.scrollTop = (Number(line[1]) - 2) * parseFloat(getComputedStyle(source).lineHeight);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("textarea[data-preview-url]").forEach((source) => source.form && enhance(source));
  });
})();
