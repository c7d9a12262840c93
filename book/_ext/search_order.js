// Sphinx's scores; 15 more for a function, class or module of the name asked for; and for whole pages up to 20 more: by
// how far up a page is, on the mean over the words asked for, among the five that use a word most. `most`, written by
// search_order.py, has them in that order.
var Scorer = {
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
  score: ([docname, title, anchor, description, score]) => {
    if (description) return score + (score > 15 && !/attribute|property/.test(description) ? 15 : 0);
    if (anchor) return score;
    const query = new URLSearchParams(window.location.search).get("q");
    const words = [...Search._parseQuery(query)[1]], page = Search._index.docnames.indexOf(docname);
    const places = words.map(word => (Object.hasOwn(Search._index.most, word) ? Search._index.most[word] : []).indexOf(page));
    return score + places.reduce((sum, place) => sum + (place < 0 ? 0 : 20 - 4 * place), 0) / (words.length || 1);
  },
};

// The lines around a hit are of the text, without the page's furniture, and a formula is in them once, as it is seen.
const asText = Search.htmlToText;
Search.htmlToText = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html"), text = page.querySelector("article") ?? page.body;
  for (const part of text.querySelectorAll(".katex-mathml, nav")) part.remove();
  return asText(`<div role="main">${text.innerHTML}</div>`, anchor); };
