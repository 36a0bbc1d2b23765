/* Asks for the health of the gateway after the page is shown, and again every 15 seconds while it is looked at. */
const panel = document.getElementById("health-now");
async function ask() {
  if (document.hidden) return;
  try {
    const answer = await fetch(panel.dataset.url, { redirect: "error" });
    if (!answer.ok && answer.status !== 503) throw new Error(answer.statusText); // 503 says what is down
    const shown = await answer.text();
    if (panel.innerHTML !== shown) panel.innerHTML = shown;
  } catch {
    panel.innerHTML = '<p class="tg-muted">This page could not ask for the health of the gateway. It tries again in 15 seconds.</p>';
  }
}
if (panel) {
  ask();
  setInterval(ask, 15000);
}
