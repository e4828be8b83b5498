//! `…_cache_valid`: how long responses are kept that do not say it themselves.

use weir_conf::value::{parse_number, parse_sec};
use weir_conf::{Fault, Node};

/// The statuses without any in the directive.
const USUAL: [u16; 3] = [200, 301, 302];

/// The times of validity by status, in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validity(Vec<(Status, i64)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Any,
    Is(u16),
}

impl Validity {
    /// Adds the rules of one directive.
    ///
    /// # Errors
    /// nginx's messages.
    pub(crate) fn add(&mut self, node: &Node) -> Result<(), Fault> {
        let Some((time, statuses)) = node.args.split_last() else { return Ok(()) };
        let invalid = || Fault::new(format!("invalid time value \"{}\"", time.shown())).at(time);
        let time_value = parse_sec(&time.value).ok_or_else(invalid)?;
        let seconds = i64::try_from(time_value.as_secs()).unwrap_or(i64::MAX);
        if statuses.is_empty() {
            self.0.extend(USUAL.map(|status| (Status::Is(status), seconds)));
        }
        for word in statuses {
            let status = match parse_number(&word.value) {
                _ if word.is("any") => Status::Any,
                Some(number @ 100..=599) => Status::Is(number as u16),
                _ => {
                    let message = format!("invalid status \"{}\"", word.shown());
                    return Err(Fault::new(message).at(word));
                }
            };
            self.0.push((status, seconds));
        }
        Ok(())
    }

    /// The number of seconds for a status, by the first rule that has it.
    pub(crate) fn of(&self, status: u16) -> Option<i64> {
        let matches =
            |rule: &&(Status, i64)| matches!(rule.0, Status::Any) || rule.0 == Status::Is(status);
        self.0.iter().find(matches).map(|&(_, seconds)| seconds)
    }
}
