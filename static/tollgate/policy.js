/* The panels of a policy's form: what its pattern computes, as one types, and what a change would have done, on demand.
   Both send what stands in the form; nothing is saved. */
(() => {
  const send = async (url, body, target) => {
    target.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(url, { method: "POST", body, redirect: "error" });
      if (!answer.ok) throw new Error(answer.statusText);
      target.innerHTML = await answer.text();
      window.htmx?.process(target); // what many keys need is asked for until it is there
    } catch {
      target.innerHTML = '<p class="tg-problem">The gateway did not answer. Try again.</p>';
    }
    target.removeAttribute("aria-busy");
  };

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("policy_form");
    const button = document.querySelector("[data-what-if]");
    if (!form || !button) return;
    button.addEventListener("click", async () => {
      const shown = document.getElementById("what-if-shown");
      button.disabled = true;
      button.textContent = "Counting again…";
      await send(button.dataset.whatIf, new FormData(form), shown);
      button.disabled = false;
      button.textContent = "Preview this change";
    });

    const keys = document.querySelector("[data-subject]");
    const metadata = form.elements.meta_data;
    if (!keys || !metadata) return;
    let asked = null;
    const compute = () => {
      const body = new FormData();
      body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      body.set("key", keys.value);
      body.set("meta_data", metadata.value);
      const now = `${keys.value}\n${metadata.value}`;
      if (now === asked) return;
      asked = now;
      send(keys.dataset.subject, body, document.getElementById("subject-shown"));
    };
    let waiting;
    const later = () => { clearTimeout(waiting); waiting = setTimeout(compute, 300); };
    form.addEventListener("input", later);
    form.addEventListener("click", later);
    keys.addEventListener("change", compute);
    compute();
  });
})();
