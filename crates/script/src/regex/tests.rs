use super::*;

fn groups(pattern: &str, subject: &str) -> Option<Vec<String>> {
    let regex = Regex::compile(pattern, false).unwrap();
    assert_eq!(regex.is_match(subject.as_bytes()), regex.captures(subject.as_bytes()).is_some());
    let captures = regex.captures(subject.as_bytes())?;
    let text = |n| String::from_utf8_lossy(captures.get(n).unwrap_or(b"-")).into_owned();
    Some((1..captures.len()).map(text).collect())
}

fn matches(pattern: &str, subject: &str) -> bool {
    groups(pattern, subject).is_some()
}

#[test]
fn groups_are_found_as_in_pcre() {
    for (pattern, subject, want) in [
        (r"^/(\w+)/(\d+)?", "/ab/", &["ab", "-"][..]),
        (r"^(?<a>x)(?'b'y)(?P<c>z)", "xyz", &["x", "y", "z"]),
        (r"(a|ab)(c|bcd)(d*)", "abcd", &["a", "bcd", ""]),
        (r"^(.+?)(\.php)(/.*)?$", "/a.php/b.php", &["/a", ".php", "/b.php"]),
        (r"(?i)(AB)(?-i)c", "abc", &["ab"]),
        (r"(?i:A)(b)", "ab", &["b"]),
        (r"(\w)\1", "abba", &["b"]),
        (r"(?<n>\w)\k<n>", "abba", &["b"]),
        (r"(a++)b", "aaab", &["aaa"]),
        (r"(?<=a|bc)(x)", "bcx", &["x"]),
        (r"^/(?!admin)(.*)", "/user", &["user"]),
        (r"(?U)(a+)", "aaa", &["a"]),
        (r"(?x) ( a ) # b", "a", &["a"]),
    ] {
        assert_eq!(groups(pattern, subject).unwrap(), want, "{pattern}");
    }
}

#[test]
fn what_pcre_reads_otherwise_than_the_engines() {
    for (pattern, subject) in [
        (r"a{,3}", "a{,3}"),
        (r"a{1", "a{1"),
        (r"]}{", "]}{"),
        (r"[a&&b]+$", "&"),
        (r"[[a]", "["),
        (r"[]a]", "]"),
        (r"[^]a]", "b"),
        (r"^\Qa.b\E$", "a.b"),
        (r"\<", "<"),
        (r"\x41\101\e\cA", "AA\x1b\x01"),
        (r"\h\H\R", " a\r\n"),
        (r"[\w.-]", "-"),
        (r"é{2}", "\u{e9}\u{e9}"),
        (r"a\Kb", "ab"),
        (r"(?#comment)a", "a"),
        (r"\Aa\Z", "a"),
        (r"[[:alpha:][:digit:]]{2}", "a1"),
        (r"a\/b\-c\ d", "a/b-c d"),
        ("(*UTF8)^.$", "\u{e9}"),
        ("^..$", "\u{e9}"),
    ] {
        // `é` is two bytes, of which only the second is repeated.
        assert_eq!(matches(pattern, subject), !pattern.starts_with('é'), "{pattern}");
    }
    assert!(!matches(r"\d", "\u{661}"));
    assert!(!matches(r"^a.$", "a\n"));
    assert!(Regex::compile("^/É[b-d]", true).unwrap().is_match("/ÉC".as_bytes()));
    assert!(!Regex::compile("[^a]", true).unwrap().is_match(b"A"));
}

#[test]
fn a_dollar_also_stands_before_the_last_newline() {
    assert!(matches(r"\.php$", "/a.php"));
    assert!(matches(r"\.php$", "/a.php\n"));
    assert!(!matches(r"\.php$", "/a.php\n\n"));
    assert!(!matches(r"\.php$", "/a.php\nb"));
    assert!(!matches(r"\.php\z", "/a.php\n"));
    assert!(matches(r"(?m)\.php$", "/a.php\nb"));
    assert_eq!(groups(r"^/(.*)$", "/ab\n").unwrap(), ["ab"]);
}

#[test]
fn bytes_that_are_no_text() {
    for pattern in [r"^(.)b(.)$", r"^(.)b(?=.$)(.)"] {
        let captures = Regex::compile(pattern, false).unwrap().captures(b"\xffb\xfe").unwrap();
        assert_eq!(captures.get(1), Some(&b"\xff"[..]), "{pattern}");
        assert_eq!(captures.get(2), Some(&b"\xfe"[..]), "{pattern}");
    }
}

#[test]
fn the_backtracking_engine_reads_bytes_as_pcre_does() {
    for (pattern, subject, first) in [
        (r"(\xe9)(?!x)", &b"\xe9x\xe9y"[..], &b"\xe9"[..]),
        ("(é)(?=à)", "éé à éà".as_bytes(), "é".as_bytes()),
        (r"([\xc0-\xff]+)-\1", b"a\xe9\xe8-\xe9\xe8", b"\xe9\xe8"),
        (r"(?<=\xff)([^\xfe])", b"\xff\xfe\xff\xfd", b"\xfd"),
        ("(*UTF8)(É)(?=à)", "éà Éà".as_bytes(), "É".as_bytes()),
        (r"(*UTF8)(\xe9)(?!x)", "é".as_bytes(), "é".as_bytes()),
        // Look-around is atomic: there is no backtracking into it.
        (r"((?=x|(x))\2x|y)", b"xxy", b"y"),
        (r"((?!(?:a|ab)c)ab?)", b"acab", b"ab"),
        (r"^((?>a+)b)(?=c)", b"aabc", b"aab"),
        (r"\b(?!un)(\w+)\b", b"undo redo", b"redo"),
    ] {
        let regex = Regex::compile(pattern, false).unwrap();
        assert!(!regex.is_linear());
        assert_eq!(regex.captures(subject).unwrap().get(1), Some(first), "{pattern}");
    }
}

#[test]
fn a_failed_match_leaves_the_captures() {
    let mut captures = Captures::default();
    assert!(Regex::compile("(a)", false).unwrap().captures_into(b"a", &mut captures));
    assert!(!Regex::compile("(b)", false).unwrap().captures_into(b"a", &mut captures));
    assert_eq!(captures.get(1), Some(&b"a"[..]));
    assert!(Regex::compile("a", false).unwrap().captures_into(b"a", &mut captures));
    assert_eq!(captures.get(1), None);
}

#[test]
fn backtracking_is_bounded() {
    let regex = Regex::compile(r"^(?=(a+)+$)", false).unwrap();
    assert!(!regex.is_match(&[&[b'a'; 64][..], b"!"].concat()));
    let regex = Regex::compile(r"^(\w+\s?)+\1$", false).unwrap();
    assert!(!regex.is_match(&[&[b'a'; 200][..], b"!"].concat()));
}

#[test]
fn faults_are_pcre_s() {
    for (pattern, fault) in [
        ("(a", "missing closing parenthesis in \"(a\""),
        ("a)b", "unmatched closing parenthesis in \"a)b\" at \")b\""),
        ("[a", "missing terminating ] for character class in \"[a\""),
        ("*a", "quantifier does not follow a repeatable item in \"*a\" at \"*a\""),
        ("^*", "quantifier does not follow a repeatable item in \"^*\" at \"*\""),
        ("[z-a]", "range out of order in character class in \"[z-a]\" at \"a]\""),
        ("[\\w-.]", "invalid range in character class in \"[\\w-.]\" at \"-.]\""),
        ("a\\", "\\ at end of pattern in \"a\\\""),
        ("\\i", "unrecognized character follows \\ in \"\\i\" at \"i\""),
        ("\\1", "reference to non-existent subpattern in \"\\1\" at \"1\""),
        ("a{2,1}", "numbers out of order in {} quantifier in \"a{2,1}\" at \"}\""),
        ("(?z)", "unrecognized character after (? or (?- in \"(?z)\" at \"z)\""),
        ("(?<1>a)", "subpattern name must start with a non-digit in \"(?<1>a)\" at \"1>a)\""),
        ("(?<=a+)b", "lookbehind assertion is not fixed length in \"(?<=a+)b\" at \"(?<=a+)b\""),
        (
            "(?<a>x)(?<a>y)",
            "two named subpatterns have the same name (PCRE2_DUPNAMES not set) in \
             \"(?<a>x)(?<a>y)\" at \"y)\"",
        ),
    ] {
        let error = Regex::compile(pattern, false).unwrap_err();
        assert_eq!(error, Fault::new(format!("pcre2_compile() failed: {fault}")));
    }
}

#[test]
fn names_are_sorted() {
    let regex = Regex::compile("(?<b>1)(?<a>2)", false).unwrap();
    assert_eq!(regex.names(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
}
