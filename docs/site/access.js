// What the theme leaves out for those who use a keyboard or a screen reader.
document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap")) {
    wrap.tabIndex = 0; // tables that are wider than the window scroll
    wrap.setAttribute("role", "group");
    wrap.setAttribute("aria-label", "Table");
  }
});
