// The form speaks of the reader's own time zone; addresses always say UTC seconds.
"use strict";

(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  form.elements.zone.value = String(-new Date().getTimezoneOffset());
  for (const label of form.querySelectorAll(".zone")) label.textContent = "(your time)";
  for (const input of form.querySelectorAll("input[data-at]")) {
    const at = new Date(Number(input.dataset.at) * 1000);
    const local = new Date(at.getTime() - at.getTimezoneOffset() * 60000);
    if (!Number.isNaN(at.getTime())) input.value = local.toISOString().slice(0, 16);
  }
  // What is empty needs no word in the address.
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
  });
  window.addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
})();
