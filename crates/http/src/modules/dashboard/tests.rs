//! The files of the page.

use super::page::{HTML, SCRIPT, STYLE};

#[test]
fn nothing_comes_from_elsewhere_or_is_run_from_an_attribute() {
    for file in [HTML, STYLE].iter().chain(SCRIPT) {
        // The one address is the name of a language.
        let file = file.replace("http://www.w3.org/2000/svg", "");
        let forbidden = [
            "://",
            "\"http:",
            "'http:",
            "`http:",
            "\"//",
            "'//",
            "@import",
            "url(",
            " onclick=",
            " onload=",
            " onerror=",
            " style=\"",
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ];
        for word in forbidden {
            assert!(!file.contains(word), "{word} in {}", &file[..60.min(file.len())]);
        }
    }
}
