//! Nearest neighbours and groups of near-duplicates among the pictures of a folder. Memory grows with the number of
//! pictures, not of pairs, and the order of the pairs does not matter.

use std::collections::{BTreeMap, BinaryHeap};

/// Finds the K nearest neighbours of each picture.
#[derive(Debug)]
pub struct Nearest {
    k: usize,
    /// By picture, with the farthest neighbour on top.
    heaps: Vec<BinaryHeap<Neighbour>>,
}

/// A neighbour of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The distance.
    pub distance: f64,
    /// The neighbour's number.
    pub picture: usize,
}

impl Eq for Neighbour {}

impl Ord for Neighbour {
    /// By distance, then by number.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.picture.cmp(&other.picture))
    }
}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Nearest {
    /// `pictures` pictures without any pair yet.
    pub fn new(pictures: usize, k: usize) -> Self {
        Self { k, heaps: vec![BinaryHeap::new(); pictures] }
    }

    /// Adds the distance of two pictures.
    pub fn add(&mut self, i: usize, j: usize, distance: f64) {
        for (picture, other) in [(i, j), (j, i)] {
            let Some(heap) = self.heaps.get_mut(picture) else { continue };
            let neighbour = Neighbour { distance, picture: other };
            if heap.len() < self.k {
                heap.push(neighbour);
            } else if let Some(mut farthest) = heap.peek_mut().filter(|farthest| neighbour < **farthest) {
                *farthest = neighbour;
            }
        }
    }

    /// The neighbours of each picture, the nearest first; fewer than K where there were fewer pairs.
    pub fn into_neighbours(self) -> impl Iterator<Item = Vec<Neighbour>> {
        self.heaps.into_iter().map(BinaryHeap::into_sorted_vec)
    }
}

/// Groups of near-duplicates: the connected components of the pairs that were joined.
#[derive(Debug)]
pub struct Groups {
    /// For each picture one of its group with a lower number, or itself.
    above: Vec<usize>,
}

impl Groups {
    /// `pictures` pictures, each a group of its own.
    pub fn new(pictures: usize) -> Self {
        Self { above: (0..pictures).collect() }
    }

    /// Joins the groups of two pictures.
    pub fn join(&mut self, i: usize, j: usize) {
        let (i, j) = (self.first(i), self.first(j));
        self.above[i.max(j)] = i.min(j);
    }

    /// The groups of two and more pictures, each in the order of numbers, ordered by their first.
    pub fn into_groups(mut self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for picture in 0..self.above.len() {
            let first = self.first(picture);
            if first != picture {
                groups.entry(first).or_insert_with(|| vec![first]).push(picture);
            }
        }
        groups.into_values().collect()
    }

    /// The picture with the lowest number in a group, with path halving.
    fn first(&mut self, mut picture: usize) -> usize {
        while self.above[picture] != picture {
            self.above[picture] = self.above[self.above[picture]];
            picture = self.above[picture];
        }
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lpips_data::rng::{Rng, Stream};

    /// Distances of all pairs, many of them equal.
    fn distances(pictures: usize) -> Vec<(usize, usize, f64)> {
        let mut rng = Rng::new(3, Stream::Samples, (0, 0));
        let pairs = (0..pictures).flat_map(|i| (i + 1..pictures).map(move |j| (i, j)));
        pairs.map(|(i, j)| (i, j, (rng.unit() * 10.0).floor() / 10.0)).collect()
    }

    #[test]
    fn nearest_neighbours_equal_a_full_sort_in_any_order_of_pairs() {
        let pairs = distances(30);
        let found = |pairs: &mut dyn Iterator<Item = &(usize, usize, f64)>| {
            let mut nearest = Nearest::new(30, 4);
            pairs.for_each(|(i, j, distance)| nearest.add(*i, *j, *distance));
            nearest.into_neighbours().collect::<Vec<_>>()
        };
        let forwards = found(&mut pairs.iter());
        assert_eq!(forwards, found(&mut pairs.iter().rev()));
        for (picture, neighbours) in forwards.iter().enumerate() {
            let mut all: Vec<(f64, usize)> = (pairs.iter())
                .filter_map(
                    |(i, j, d)| if *i == picture { Some((*d, *j)) } else { (*j == picture).then_some((*d, *i)) },
                )
                .collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let found: Vec<_> = neighbours.iter().map(|neighbour| (neighbour.distance, neighbour.picture)).collect();
            assert_eq!(found, all[..4]);
        }
    }

    #[test]
    fn nearest_neighbours_of_few_pictures_or_k_0_are_those_there_are() {
        let mut few = Nearest::new(3, 5);
        few.add(0, 2, 0.5);
        let counts: Vec<_> = few.into_neighbours().map(|neighbours| neighbours.len()).collect();
        assert_eq!(counts, [1, 0, 1]);
        let mut none = Nearest::new(2, 0);
        none.add(0, 1, 0.5);
        assert!(none.into_neighbours().all(|neighbours| neighbours.is_empty()));
    }

    #[test]
    fn groups_are_connected_components_of_pairs() {
        let mut groups = Groups::new(9);
        for (i, j) in [(7, 8), (5, 1), (3, 4), (1, 3), (4, 5)] {
            groups.join(i, j);
        }
        assert_eq!(groups.into_groups(), [vec![1, 3, 4, 5], vec![7, 8]]);
        assert!(Groups::new(3).into_groups().is_empty());
        let mut chain = Groups::new(100_000);
        (1..100_000).rev().for_each(|j| chain.join(j - 1, j));
        assert_eq!(chain.into_groups()[0].len(), 100_000);
    }
}
