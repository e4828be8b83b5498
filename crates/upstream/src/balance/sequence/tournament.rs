//! The largest of many numbers, kept while they change one at a time.

/// Numbers, some of which are absent, and the matches between them. The first of equals wins.
#[derive(Debug, Default)]
pub(crate) struct Tournament {
    /// The numbers, up to a power of two; `ABSENT` where there is none.
    numbers: Vec<i64>,
    /// The winners of the matches as indices: match 1 is the final, between the winners of the
    /// matches 2 and 3, and so on. Those of the first round are between neighbours.
    winners: Vec<usize>,
    count: i64,
}

const ABSENT: i64 = i64::MIN;

impl Tournament {
    /// So many numbers, all absent.
    pub(crate) fn new(size: usize) -> Self {
        let size = size.max(1).next_power_of_two();
        let mut winners = vec![0; size];
        // A match of the last level, `size / 2` on, is between two numbers.
        for place in (1..size).rev() {
            winners[place] = match winners.get(2 * place) {
                Some(&first) => first,
                None => 2 * place - size,
            };
        }
        Self { numbers: vec![ABSENT; size], winners, count: 0 }
    }

    /// The number of those that are present.
    pub(crate) fn count(&self) -> i64 {
        self.count
    }

    /// The number at an index.
    pub(crate) fn get(&self, at: usize) -> Option<i64> {
        Some(self.numbers[at]).filter(|&number| number != ABSENT)
    }

    /// The index of the largest, and the number.
    pub(crate) fn best(&self) -> Option<(usize, i64)> {
        let at = self.winners.get(1).copied().unwrap_or(0);
        Some((at, *self.numbers.get(at)?)).filter(|(_, number)| *number != ABSENT)
    }

    /// Changes a number.
    pub(crate) fn set(&mut self, at: usize, number: Option<i64>) {
        let number = number.unwrap_or(ABSENT);
        let size = self.numbers.len();
        self.count += i64::from(number != ABSENT) - i64::from(self.numbers[at] != ABSENT);
        self.numbers[at] = number;
        let mut place = (size + at) / 2;
        while place > 0 {
            let winner = |next: usize| match self.winners.get(next) {
                Some(&winner) => winner,
                None => next - size,
            };
            let (first, second) = (winner(2 * place), winner(2 * place + 1));
            let second_wins = self.numbers[second] > self.numbers[first];
            self.winners[place] = if second_wins { second } else { first };
            place /= 2;
        }
    }

    /// Adds to all numbers, which leaves the winners as they are.
    pub(crate) fn add_to_all(&mut self, more: i64) {
        for number in self.numbers.iter_mut().filter(|number| **number != ABSENT) {
            *number += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_wins() {
        let mut random = fastrand::Rng::with_seed(1);
        for size in [1, 2, 3, 7, 64, 100] {
            let mut tournament = Tournament::new(size);
            let mut plain = vec![None; size];
            assert_eq!(tournament.best(), None);
            for _ in 0..2000 {
                let at = random.usize(..size);
                let number = (random.u8(..4) > 0).then(|| random.i64(-3..3));
                tournament.set(at, number);
                plain[at] = number;
                let largest = plain.iter().flatten().max();
                let first = plain.iter().position(|number| number.as_ref() == largest);
                assert_eq!(tournament.best(), first.zip(largest.copied()));
                assert_eq!(tournament.count() as usize, plain.iter().flatten().count());
                assert_eq!(tournament.get(at), number);
            }
            tournament.add_to_all(5);
            let largest = plain.iter().flatten().max().map(|number| number + 5);
            assert_eq!(tournament.best().map(|(_, number)| number), largest);
        }
    }
}
