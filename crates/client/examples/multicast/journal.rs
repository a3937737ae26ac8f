//! The last messages of a group, and how far each source was heard: what makes every message arrive once.
//!
//! Two members that connect tell each other the next number that they lack of every source, and send what the other lacks. After
//! that whatever is new to a member goes to all its neighbours but the one that it came from. So messages of a source arrive in
//! order on every connection, and a number below the next one was heard before: it is dropped.
//!
//! Bounds: [`MESSAGES_MAX`] messages, [`SOURCES_MAX`] sources. Whoever was away while more were said has lost the difference, and is
//! told how many.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Messages that are kept for those who come, or come back.
pub(crate) const MESSAGES_MAX: usize = 1024;
/// Sources that are remembered.
pub(crate) const SOURCES_MAX: usize = 1024;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Whose: a member's name for this life of it.
    pub(crate) source: String,
    /// From 0.
    pub(crate) number: u64,
    pub(crate) text: String,
}

/// The next number that is lacked, by source.
pub(crate) type Heard = BTreeMap<String, u64>;

/// What a message is to whoever hears it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Not heard before; so many before it were lost.
    New {
        lost: u64,
    },
    Old,
}

/// The last messages, in the order of hearing.
#[derive(Default)]
pub(crate) struct Journal {
    messages: VecDeque<Message>,
    heard: Heard,
}

impl Journal {
    /// Writes a message down.
    pub(crate) fn take(&mut self, message: &Message) -> News {
        let next = self.heard.get(&message.source).copied();
        // Of a source never heard before the beginning may be older than anybody's memory: that is no loss of ours.
        let expected = next.unwrap_or(message.number);
        if message.number < expected || next.is_none() && self.heard.len() >= SOURCES_MAX {
            return News::Old;
        }
        self.heard.insert(message.source.clone(), message.number + 1);
        if self.messages.len() >= MESSAGES_MAX {
            self.messages.pop_front();
        }
        self.messages.push_back(message.clone());
        News::New { lost: message.number - expected }
    }

    /// How far each source was heard.
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// What somebody lacks who has heard so far.
    pub(crate) fn lacking<'a>(&'a self, heard: &'a Heard) -> impl Iterator<Item = &'a Message> {
        let lacks = |message: &&Message| message.number >= heard.get(&message.source).copied().unwrap_or(0);
        self.messages.iter().filter(lacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str, number: u64) -> Message {
        Message { source: source.into(), number, text: format!("{source} {number}") }
    }

    #[test]
    fn nothing_is_news_twice_and_what_one_lacks_the_other_has() {
        let (mut ours, mut theirs) = (Journal::default(), Journal::default());
        for number in 0..5 {
            assert_eq!(ours.take(&message("a", number)), News::New { lost: 0 });
        }
        assert_eq!(ours.take(&message("a", 3)), News::Old);
        theirs.take(&message("a", 0));
        theirs.take(&message("b", 0));
        let lacking: Vec<Message> = ours.lacking(theirs.heard()).cloned().collect();
        assert_eq!(lacking.iter().map(|message| message.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(lacking.iter().all(|message| theirs.take(message) == News::New { lost: 0 }));
        assert_eq!(theirs.lacking(ours.heard()).count(), 1);
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_told() {
        let mut journal = Journal::default();
        for number in 0..2 * MESSAGES_MAX as u64 {
            journal.take(&message("a", number));
        }
        assert_eq!(journal.messages.len(), MESSAGES_MAX);
        let mut late = Journal::default();
        late.take(&message("a", 0));
        let first = journal.lacking(late.heard()).next().cloned().expect("a message");
        assert_eq!(late.take(&first), News::New { lost: MESSAGES_MAX as u64 - 1 });
        for n in 0..SOURCES_MAX {
            journal.take(&message(&format!("source {n}"), 0));
        }
        assert_eq!(journal.heard.len(), SOURCES_MAX);
    }
}
