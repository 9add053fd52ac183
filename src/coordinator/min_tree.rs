//! A tournament tree: the least of many counters, in O(log n) a change and O(1) a question.

/// Counters over a fixed set of members. The winner has the least count; ties go to the lowest member.
#[derive(Clone, Debug)]
pub(super) struct MinTree {
    counts: Vec<u32>,
    /// `winners[1]` is the winner of all, `winners[n]` of the match between `2n` and `2n + 1`;
    /// the leaves follow from `leaves` on.
    winners: Vec<u32>,
    leaves: usize,
}

impl MinTree {
    pub fn new(members: usize) -> Self {
        let leaves = members.next_power_of_two().max(1);
        // Empty leaves hold a member that does not exist and loses every match.
        let mut winners = vec![u32::MAX; 2 * leaves];
        for (member, leaf) in winners[leaves..].iter_mut().take(members).enumerate() {
            *leaf = member as u32;
        }
        let mut tree = Self { counts: vec![0; members], winners, leaves };
        for node in (1..leaves).rev() {
            tree.winners[node] = tree.play(node);
        }
        tree
    }

    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    pub fn least(&self) -> usize {
        self.winners[1] as usize
    }

    #[inline]
    pub fn set(&mut self, member: usize, count: u32) {
        self.counts[member] = count;
        let mut node = (self.leaves + member) / 2;
        while node > 0 {
            self.winners[node] = self.play(node);
            node /= 2;
        }
    }

    fn play(&self, node: usize) -> u32 {
        let (left, right) = (self.winners[2 * node], self.winners[2 * node + 1]);
        // A member that does not exist counts as more than any count.
        let count =
            |member: u32| self.counts.get(member as usize).map_or(u64::MAX, |count| u64::from(*count));
        if count(right) < count(left) { right } else { left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_winner_is_the_first_least(
            members in 1_usize..40,
            changes in prop::collection::vec((0_usize..40, 0_u32..6), 0..200),
        ) {
            let mut tree = MinTree::new(members);
            let mut counts = vec![0; members];
            for (member, count) in changes {
                let member = member % members;
                tree.set(member, count);
                counts[member] = count;
                let first_least = (0..members).min_by_key(|member| (counts[*member], *member));
                prop_assert_eq!(Some(tree.least()), first_least);
            }
            prop_assert_eq!(tree.counts(), &counts);
        }
    }
}
