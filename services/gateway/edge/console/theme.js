// Before the first paint: the colours somebody chose on this machine. Without a choice the system's hold.
(() => {
  const chosen = localStorage.getItem("cairn.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
