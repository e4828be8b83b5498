//! What waits for a connected node. All but answers is made when the link has room for it.

use std::collections::VecDeque;

use crate::mirror::limits;
use crate::mirror::message::{Message, Status};
use crate::mirror::name::Name;
use crate::mirror::version::{Standing, Version};

use super::{Config, Held, State};

#[derive(Debug)]
pub(super) struct Link {
    /// The node's status, once it has told it.
    pub(super) status: Option<Status>,
    /// Whether the own status has changed since the node was told.
    pub(super) status_due: bool,
    /// The piece that the node wants.
    pub(super) wanted: Option<(Version, u64)>,
    /// The piece to ask the node for.
    pub(super) want: Option<(Version, u64)>,
    messages: VecDeque<Message>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { status: None, status_due: true, wanted: None, want: None, messages: VecDeque::new() }
    }

    pub(super) fn standing(&self) -> Option<&Standing> {
        self.status.as_ref()?.set.as_ref().map(|(standing, _)| standing)
    }

    pub(super) fn send(&mut self, message: Message) {
        // Of a node that floods, nothing more is kept until its connection has been ended.
        if self.messages.len() <= limits::ANSWERS {
            self.messages.push_back(message);
        }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.messages.len() > limits::ANSWERS
    }

    pub(super) fn waiting(&self) -> usize {
        self.messages.len()
    }
}

impl Config {
    pub(in crate::mirror) fn poll_message(&mut self, node: &Name) -> Option<Message> {
        let link = self.links.get_mut(node)?;
        if let Some(message) = link.messages.pop_front() {
            return Some(message);
        }
        if std::mem::take(&mut link.status_due) {
            return Some(self.status());
        }
        if let Some((version, offset)) = link.want.take() {
            return Some(Message::Want { version, offset });
        }
        let (version, offset) = link.wanted.take()?;
        let bytes = self.bytes_of(&version)?;
        let from = usize::try_from(offset).ok().filter(|from| *from <= bytes.len())?;
        let until = bytes.len().min(from + limits::PIECE);
        Some(Message::Piece { version, offset, bytes: bytes[from..until].to_vec() })
    }

    fn status(&self) -> Message {
        let set = self.current.as_ref().map(|held| (held.standing.clone(), held.info.clone()));
        let trouble = self.trouble();
        let trouble = trouble.map(|(version, reason)| (version.clone(), reason.to_owned()));
        Message::Status(Status { set, trouble })
    }

    /// The bytes of a version that others may ask for.
    fn bytes_of(&self, version: &Version) -> Option<&[u8]> {
        let own = match &self.state {
            State::Proposing(proposing) => Some(&proposing.candidate),
            State::Applying(applying) => Some(&applying.held),
            _ => None,
        };
        let is_it = |held: &&Held| held.standing.version == *version;
        self.current.as_ref().into_iter().chain(own).find(is_it).map(|held| &*held.bytes)
    }
}
