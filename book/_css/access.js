// For the keyboard and for screen readers, what the theme and sphinx-togglebutton leave out.
addEventListener("load", () => {
  // The button that opens a solution is called what it opens, instead of "Toggle hidden content".
  for (const button of document.querySelectorAll("button.toggle-button")) {
    button.setAttribute("aria-label", button.parentElement.textContent.trim());
    button.setAttribute("aria-controls", button.dataset.target);
  }
  // docutils gives the entries of a list of references a role that ARIA has withdrawn: a list holds list items.
  for (const entry of document.querySelectorAll("[role=doc-biblioentry]")) entry.setAttribute("role", "listitem");
  // The theme lets Tab reach code that is wider than its box, so that arrows scroll it, but measures it once, when
  // what is collapsed has no width.
  document.addEventListener("toggle", ({ target }) => {
    for (const code of target.querySelectorAll("pre")) code.tabIndex = code.scrollWidth > code.clientWidth ? 0 : -1;
  }, true);
});
