//! What became of conversations.

use serde::Serialize;

/// Conversations that began, and why some had fewer turns than were drawn for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionCounts {
    /// Began.
    pub begun: u64,
    /// Ended before a turn that the context had no room for.
    pub cut_at_context: u64,
    /// Ended with a turn that was turned away.
    pub ended_by_rejection: u64,
    /// Turns that never came, as the one before them was turned away.
    pub unsent_turns: u64,
}

impl SessionCounts {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            begun: self.begun + other.begun,
            cut_at_context: self.cut_at_context + other.cut_at_context,
            ended_by_rejection: self.ended_by_rejection + other.ended_by_rejection,
            unsent_turns: self.unsent_turns + other.unsent_turns,
        }
    }
}
