/* An API's form: says of a listen path as it is typed whether it is free, and sends "try it" requests in place. */
(() => {
  document.addEventListener("DOMContentLoaded", () => {
    const check = document.getElementById("listen-path-check");
    const field = document.getElementById("id_listen_path");
    if (check && field) watch(check, field);
    const trial = document.getElementById("try-form");
    if (trial) trial.addEventListener("submit", send);
  });

  const watch = (check, field) => {
    const shown = document.createElement("div");
    shown.id = "listen-path-says";
    shown.setAttribute("aria-live", "polite");
    field.insertAdjacentElement("afterend", shown);
    field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") || ""} ${shown.id}`.trim());
    const saved = field.value;
    let waiting, asked = 0;
    const ask = async () => {
      const mine = ++asked;
      if (!field.value || (check.dataset.api && field.value === saved)) { shown.textContent = ""; return; }
      const query = new URLSearchParams({ path: field.value, api: check.dataset.api });
      try {
        const answer = await fetch(`${check.dataset.url}?${query}`, { redirect: "error" });
        const text = await answer.text();
        if (mine === asked && answer.ok) shown.innerHTML = text;
      } catch {
        if (mine === asked) shown.textContent = "";
      }
    };
    field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(ask, 250); });
  };

  const send = async (event) => {
    event.preventDefault();
    const form = event.target, shown = document.getElementById("try-shown"), button = form.querySelector("button");
    button.disabled = true;
    button.textContent = "Sending…";
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "error" });
      if (!answer.ok) throw new Error(answer.statusText);
      shown.innerHTML = await answer.text();
    } catch {
      shown.innerHTML = '<p class="tg-problem">The admin did not answer. Try again.</p>';
    }
    button.disabled = false;
    button.textContent = "Send";
  };
})();
