// For the keyboard and for screen readers, what the theme, sphinx-togglebutton and docutils leave out.
addEventListener("load", () => {
  // Tab reaches what is wider than its box, so that arrows scroll it. The theme sees to code, but measures it while
  // parts are collapsed and have another width; tables and formulas have a width when they come near the screen.
  const boxes = new ResizeObserver(changes => {
    for (const { target } of changes) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1; });
  for (const box of document.querySelectorAll("pre, .pst-scrollable-table-container, .katex-display"))
    boxes.observe(box);
  for (const button of document.querySelectorAll("button.toggle-button")) {
    // The button is called what it opens, instead of "Toggle hidden content".
    button.setAttribute("aria-label", button.parentElement.textContent.trim());
    button.setAttribute("aria-controls", button.dataset.target);
  }
  // Entries of a list of references have a role that ARIA has withdrawn; what a list holds is list items.
  for (const entry of document.querySelectorAll("[role=doc-biblioentry]")) entry.setAttribute("role", "listitem");
});
