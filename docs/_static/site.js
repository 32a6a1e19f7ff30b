// Small corrections to the theme, each with its reason.
document.addEventListener("DOMContentLoaded", () => {
  // The arrows that open a part of the navigation have no name to read aloud.
  for (const summary of document.querySelectorAll(".bd-sidenav summary")) {
    const link = summary.closest("li").querySelector("a");
    summary.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
  }
  // The name of the search button leaves out the keys that it shows: its own text is the better name.
  for (const button of document.querySelectorAll(".search-button__button")) {
    if (button.textContent.trim()) button.removeAttribute("aria-label");
  }
});
