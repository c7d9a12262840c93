// For the keyboard, screen readers and narrow screens, what the theme, sphinx-togglebutton and docutils leave out.
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
  // On a telephone book.css shows such a table row by row.
  for (const table of document.querySelectorAll("article table:not(.equation-index, .autosummary)")) {
    const heads = [...table.querySelectorAll("thead th")].map(head => {
      const copy = head.cloneNode(true);
      for (const spoken of copy.querySelectorAll(".katex-mathml")) spoken.remove();
      return copy.textContent.trim(); });
    if (heads.length < 3) continue;
    table.classList.add("stacked");
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.cells].forEach((cell, i) => { if (heads[i]) cell.dataset.head = heads[i]; });
  }
  // Entries of a list of references have a role that ARIA has withdrawn; what a list holds is list items.
  for (const entry of document.querySelectorAll("[role=doc-biblioentry]")) entry.setAttribute("role", "listitem");
});
