use super::*;
use crate::fixture;

/// The messages about this content of an `http` block.
fn messages(http: &str) -> Vec<String> {
    let assembly = fixture::assembly(http);
    assembly.diagnostics.iter().map(|diagnostic| diagnostic.message.clone()).collect()
}

#[test]
fn wrong_arguments_are_named() {
    for (directive, message) in [
        ("more_set_headers -x a;", "more_set_headers: invalid option name: \"-x\""),
        ("more_set_headers -r a;", "more_set_headers: invalid option name: \"-r\""),
        ("more_clear_headers -a a;", "more_clear_headers: invalid option name: \"-a\""),
        ("more_set_input_headers -s 1 a;", "more_set_input_headers: invalid option name: \"-s\""),
        ("more_set_headers a -t;", "more_set_headers: option -t takes an argument."),
        (
            "more_set_headers -s '2 4x' a;",
            "more_set_headers: invalid digit \"x\" found in the status code list \"2 4x\"",
        ),
        ("more_clear_headers *;", "more_clear_headers: wildcard key too short: *"),
        ("more_set_headers ': x';", "more_set_headers: no key found in the header argument: : x"),
        (
            "more_set_headers -a 'server: x';",
            "more_set_headers: can not append builtin headers \"server\"",
        ),
    ] {
        let found = messages(directive);
        assert_eq!(found.len(), 1, "{directive}: {found:?}");
        assert!(found[0].starts_with(message), "{directive}: {found:?}");
    }
}

#[test]
fn odd_arguments_are_accepted() {
    for directive in [
        "more_set_headers -t '' -s ' ' -a 'X-A: 1';",
        "more_set_headers '' -s 70000 X;",
        "more_set_headers -t 'a;b c' -t d;",
        "more_clear_headers -s 404 -s '500 503' 'X-*' Server;",
        "more_clear_input_headers -r 'X-*';",
    ] {
        assert_eq!(messages(directive), [""; 0], "{directive}");
    }
}

#[test]
fn fields_are_divided_as_told() {
    let mut fields = Vec::new();
    for text in ["A: b", "  A:b", "A : : b c ", "A b", "A:", "A", "A-*"] {
        let assembly = fixture::assembly(&format!("more_set_headers '{text}';"));
        let settings = &assembly.root.blocks[0].settings;
        let field = &settings.get(&HEADERS_MORE).output[0].fields[0];
        let value = field.value.literal().expect("it has no variables");
        fields.push((field.name.clone(), field.is_prefix, value.to_vec()));
    }
    let field = |name: &str, is_prefix, value: &str| (name.into(), is_prefix, value.into());
    let expected: [(Vec<u8>, bool, Vec<u8>); 7] = [
        field("A", false, "b"),
        field("A", false, "b"),
        field("A", false, "b c "),
        field("A", false, "b"),
        field("A", false, ""),
        field("A", false, ""),
        field("A-", true, ""),
    ];
    assert_eq!(fields, expected);
}
