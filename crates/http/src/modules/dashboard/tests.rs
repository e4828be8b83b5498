//! The files of the page.

/// Everything that the page consists of.
const FILES: [&str; 12] = [
    include_str!("page.html"),
    include_str!("page.css"),
    include_str!("page/basics.js"),
    include_str!("page/draw.js"),
    include_str!("page/wrong.js"),
    include_str!("page/traffic.js"),
    include_str!("page/upstreams.js"),
    include_str!("page/edits.js"),
    include_str!("page/requests.js"),
    include_str!("page/sections.js"),
    include_str!("page/vitals.js"),
    include_str!("page/main.js"),
];

#[test]
fn nothing_comes_from_elsewhere_or_is_run_from_an_attribute() {
    for file in FILES {
        // The one address is the name of a language.
        let file = file.replace("http://www.w3.org/2000/svg", "");
        let forbidden = [
            "http:",
            "https:",
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
