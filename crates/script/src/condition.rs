//! The conditions of `if`.

use weir_conf::Fault;

use crate::{CaptureRegex, Scope, Template, VarId, Variables};

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The variable's value is neither empty nor `0`.
    Variable(VarId),
    /// The variable equals (`=`) or differs from (`!=`) a text.
    Equals {
        /// The variable.
        variable: VarId,
        /// The text.
        text: Template,
        /// Written with `!=`.
        negated: bool,
    },
    /// The variable matches (`~`, `~*`) or does not match (`!~`, `!~*`) a pattern.
    Matches {
        /// The variable.
        variable: VarId,
        /// The pattern; a match sets the captures, even if negated.
        regex: CaptureRegex,
        /// Written with `!~` or `!~*`.
        negated: bool,
    },
    /// A file exists, or does not.
    File {
        /// The required kind of file.
        test: FileTest,
        /// The path of the file.
        path: Template,
        /// Written with `!`.
        negated: bool,
    },
}

/// A required kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTest {
    /// `-f`: a regular file.
    File,
    /// `-d`: a directory.
    Directory,
    /// `-e`: a file, a directory or a symbolic link.
    Exists,
    /// `-x`: an executable file.
    Executable,
}

/// The kind of file at a path, as found by the caller; all false if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileKind {
    /// A regular file.
    pub is_file: bool,
    /// A directory.
    pub is_dir: bool,
    /// A symbolic link.
    pub is_link: bool,
    /// Its owner may execute it.
    pub is_exec: bool,
}

impl FileTest {
    /// Whether a file of that kind passes.
    pub fn passes(self, kind: FileKind) -> bool {
        match self {
            Self::File => kind.is_file,
            Self::Directory => kind.is_dir,
            Self::Exists => kind.is_file || kind.is_dir || kind.is_link,
            Self::Executable => kind.is_exec,
        }
    }
}

impl Condition {
    /// Compiles the arguments of `if`, parentheses included.
    ///
    /// # Errors
    /// nginx's wording.
    pub fn compile(words: &[&[u8]], vars: &mut Variables) -> Result<Self, Fault> {
        let words = strip_parentheses(words)?;
        let Some((&first, rest)) = words.split_first() else { return Err(invalid(b"")) };
        if first.len() > 1 && first[0] == b'$' {
            return variable(first, rest, vars);
        }
        let (negated, test) = match first {
            [b'-', test] => (false, *test),
            [b'!', b'-', test] => (true, *test),
            _ => return Err(invalid(first)),
        };
        let [path] = rest else { return Err(invalid(first)) };
        let path = Template::compile(path, vars)?;
        let test = match test {
            b'f' => FileTest::File,
            b'd' => FileTest::Directory,
            b'e' => FileTest::Exists,
            b'x' => FileTest::Executable,
            _ => return Err(invalid(first)),
        };
        Ok(Self::File { test, path, negated })
    }

    /// Whether the condition holds.
    ///
    /// `scratch` is a working buffer; `file` returns the kind of file at a path.
    pub fn holds<S: Scope + ?Sized>(
        &self,
        scope: &mut S,
        scratch: &mut Vec<u8>,
        file: impl FnOnce(&mut S, &[u8]) -> FileKind,
    ) -> bool {
        scratch.clear();
        match self {
            Self::Variable(id) => {
                scope.variable(*id, scratch);
                is_true(scratch)
            }
            Self::Equals { variable, text, negated } => {
                scope.variable(*variable, scratch);
                let middle = scratch.len();
                text.eval(scope, scratch);
                (scratch[..middle] == scratch[middle..]) != *negated
            }
            Self::Matches { variable, regex, negated } => {
                scope.variable(*variable, scratch);
                let matched = regex.matches(scratch, scope);
                if !matched {
                    scope.captures().clear();
                }
                matched != *negated
            }
            Self::File { test, path, negated } => {
                path.eval(scope, scratch);
                test.passes(file(scope, scratch)) != *negated
            }
        }
    }
}

/// nginx's truth: any value but the empty one and `0`.
pub(crate) fn is_true(value: &[u8]) -> bool {
    !matches!(value, b"" | b"0")
}

fn variable(first: &[u8], rest: &[&[u8]], vars: &mut Variables) -> Result<Condition, Fault> {
    if !matches!(rest.len(), 0 | 2) {
        return Err(invalid(first));
    }
    // As in nginx, the name is not checked here; a malformed name is reported as unknown later.
    let id = vars.reference_bytes(&first[1..]);
    let &[operator, operand] = rest else { return Ok(Condition::Variable(id)) };
    let negated = operator.first() == Some(&b'!');
    match operator {
        b"=" | b"!=" => {
            let text = Template::compile(operand, vars)?;
            Ok(Condition::Equals { variable: id, text, negated })
        }
        b"~" | b"~*" | b"!~" | b"!~*" => {
            let caseless = operator.ends_with(b"*");
            let regex = CaptureRegex::compile(operand, caseless, vars)?;
            Ok(Condition::Matches { variable: id, regex, negated })
        }
        _ => {
            let operator = String::from_utf8_lossy(operator);
            Err(Fault::new(format!("unexpected \"{operator}\" in condition")))
        }
    }
}

fn strip_parentheses<'w>(words: &[&'w [u8]]) -> Result<Vec<&'w [u8]>, Fault> {
    let mut words = words.to_vec();
    let Some(first) = words.first_mut() else { return Err(invalid(b"")) };
    let Some(opened) = first.strip_prefix(b"(") else { return Err(invalid(first)) };
    *first = opened;
    let alone = opened.is_empty();
    let Some(last) = words.last_mut() else { return Err(invalid(b"")) };
    let Some(closed) = last.strip_suffix(b")") else {
        // A lone parenthesis was stripped above; nginx still shows it.
        return Err(invalid(if last.is_empty() { b"(" } else { last }));
    };
    *last = closed;
    if closed.is_empty() {
        if words.len() == 1 {
            return Err(invalid(b")"));
        }
        words.pop();
    }
    if alone {
        if words.len() == 1 {
            return Err(invalid(b")"));
        }
        words.remove(0);
    }
    Ok(words)
}

fn invalid(word: &[u8]) -> Fault {
    Fault::new(format!("invalid condition \"{}\"", String::from_utf8_lossy(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn holds(condition: &str) -> Result<bool, Fault> {
        let mut vars = Variables::default();
        let words: Vec<_> = condition.split(' ').map(str::as_bytes).collect();
        let condition = Condition::compile(&words, &mut vars)?;
        let mut host = Fake::default();
        for (name, value) in [("yes", "1"), ("no", "0"), ("path", "/Index.php")] {
            host.values.insert(vars.reference(name), value.into());
        }
        let mut scratch = Vec::new();
        Ok(condition.holds(&mut host, &mut scratch, |_, path| FileKind {
            is_file: path == b"/file/Index.php",
            ..FileKind::default()
        }))
    }

    #[test]
    fn every_form() {
        for (condition, want) in [
            ("($yes)", true),
            ("( $yes )", true),
            ("($no)", false),
            ("($none)", false),
            ("($yes = 1)", true),
            ("($yes != 1)", false),
            ("($path = $path)", true),
            ("($path ~ \\.PHP$)", false),
            ("($path ~* \\.PHP$)", true),
            ("($path !~ \\.PHP$)", true),
            ("( $path !~* \\.PHP$ )", false),
            ("(-f /file$path)", true),
            ("(!-f /file$path)", false),
            ("(-d /file$path)", false),
            ("(!-e /none)", true),
        ] {
            assert_eq!(holds(condition), Ok(want), "{condition}");
        }
    }

    #[test]
    fn faults_are_worded_as_in_nginx() {
        for (condition, word) in [
            ("$yes", "$yes"),
            ("($yes", "$yes"),
            ("()", ")"),
            ("( )", ")"),
            ("(", "("),
            ("(yes)", "yes"),
            ("($yes =)", "$yes"),
            ("($yes = 1 2)", "$yes"),
            ("(-f)", "-f"),
            ("(-z /a)", "-z"),
            ("(!-z /a)", "!-z"),
            ("($)", "$"),
        ] {
            let want = format!("invalid condition \"{word}\"");
            assert_eq!(holds(condition), Err(want.into()), "{condition}");
        }
        assert_eq!(holds("($a == 1)"), Err("unexpected \"==\" in condition".into()));
        assert_eq!(holds("($a = ${)"), Err("invalid variable name".into()));
    }
}
