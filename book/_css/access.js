// For the keyboard and for screen readers, what the theme, sphinx-togglebutton and docutils leave out.
addEventListener("load", () => {
  // Tab reaches what is wider than its box, so that arrows scroll it. The theme sees to code, but measures it while
  // parts are collapsed and have another width, and not to tables and formulas.
  const reach = (part = document) => {
    for (const box of part.querySelectorAll("pre, .pst-scrollable-table-container, div.math"))
      box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1; };
  reach();
  addEventListener("resize", () => reach());
  document.addEventListener("toggle", event => reach(event.target), true);
  for (const button of document.querySelectorAll("button.toggle-button")) {
    const solution = button.closest(".admonition");
    solution.addEventListener("click", () => reach(solution));
    // The button is called what it opens, instead of "Toggle hidden content".
    button.setAttribute("aria-label", button.parentElement.textContent.trim());
    button.setAttribute("aria-controls", solution.id);
  }
  // Entries of a list of references have a role that ARIA has withdrawn; what a list holds is list items.
  for (const entry of document.querySelectorAll("[role=doc-biblioentry]")) entry.setAttribute("role", "listitem");
});
