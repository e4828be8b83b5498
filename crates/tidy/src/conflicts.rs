//! No file keeps the lines with which git marks a conflict.

use std::process::Command;

use crate::tree;

/// The characters that start and end a conflict, as often as git repeats them at the start of a
/// line. The line between the sides is none of them, since it underlines headings in Markdown.
const MARKS: [char; 2] = ['<', '>'];
const REPEATED: usize = 7;

fn markers(path: &str, text: &str) -> Vec<String> {
    let marks = MARKS.map(|mark| String::from(mark).repeat(REPEATED));
    let is_marker = |line: &str| {
        let rest = marks.iter().find_map(|mark| line.strip_prefix(mark));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_marker(line));
    lines.map(|(at, _)| format!("{path}:{} is left over from a merge", at + 1)).collect()
}

/// The paths of all files in git's index. A copy without git has no merges either.
fn tracked() -> Vec<String> {
    if !tree::root().join(".git").exists() {
        return Vec::new();
    }
    let mut command = Command::new("git");
    // The owner of a checkout may be another than the one who tests it.
    command.args(["-c", "safe.directory=*", "ls-files", "-z"]).current_dir(tree::root());
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("names are text");
    assert!(names.contains("Cargo.toml\0"), "git lists no files");
    names.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn no_file_keeps_a_conflict() {
    for path in tracked() {
        // The index names files that have just been deleted, too. A binary file is none of text.
        let Ok(bytes) = std::fs::read(tree::root().join(&path)) else { continue };
        if !bytes.contains(&0) {
            assert_eq!(markers(&path, &String::from_utf8_lossy(&bytes)), [""; 0]);
        }
    }
}

#[test]
fn marks_of_either_side_are_found() {
    let [ours, theirs] = MARKS.map(|mark| String::from(mark).repeat(REPEATED));
    let conflict = format!("a\r\n{ours} HEAD\r\nb\n=======\nc\n{theirs} branch\n{theirs}\r\n");
    let found = markers("docs/a.md", &conflict);
    let line = |number| format!("docs/a.md:{number} is left over from a merge");
    assert_eq!(found, [line(2), line(6), line(7)]);
    for fine in
        [format!(" {ours} HEAD"), format!("{ours}<"), format!("{theirs}a"), ours[1..].into()]
    {
        assert_eq!(markers("a", &fine), [""; 0], "{fine}");
    }
}
