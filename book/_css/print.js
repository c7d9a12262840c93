// Before a page goes to paper: the light theme, what is collapsed opened, and for print.css the width of each
// formula on a line of its own, in letters' sizes. After it, everything as it was.
(() => {
  const page = document.documentElement;
  let theme, closed = [];
  addEventListener("beforeprint", () => {
    theme = page.dataset.theme;
    page.dataset.theme = "light";
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
    const inside = document.createRange();
    const widths = [...document.querySelectorAll(".katex-display > .katex")].map(formula => {
      inside.selectNodeContents(formula.querySelector(".katex-html"));
      return [formula, inside.getBoundingClientRect().width / parseFloat(getComputedStyle(formula).fontSize)];
    });
    for (const [formula, width] of widths) formula.style.setProperty("--w", width);
  });
  addEventListener("afterprint", () => {
    page.dataset.theme = theme;
    for (const part of closed) part.open = false;
  });
})();
