//! The downhill simplex of Nelder and Mead: the least value of a function of few unknowns.

/// Where `cost` is least, from `start` with steps of `step`; stops after so many calls.
pub(super) fn minimise(
    mut cost: impl FnMut(&[f64]) -> f64,
    start: &[f64],
    step: f64,
    calls: usize,
) -> Vec<f64> {
    let n = start.len();
    let mut simplex: Vec<(f64, Vec<f64>)> = vec![(cost(start), start.to_vec())];
    for unknown in 0..n {
        let mut corner = start.to_vec();
        corner[unknown] += step;
        simplex.push((cost(&corner), corner));
    }
    let mut called = n + 1;
    while called < calls {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        if simplex[n].0 - simplex[0].0 <= 1e-10 * simplex[0].0.abs() {
            break;
        }
        let centre: Vec<f64> = (0..n)
            .map(|at| simplex[..n].iter().map(|(_, point)| point[at]).sum::<f64>() / n as f64)
            .collect();
        let along = |by: f64| -> Vec<f64> {
            centre.iter().zip(&simplex[n].1).map(|(middle, worst)| middle + by * (middle - worst)).collect()
        };
        let reflected = along(1.0);
        let value = cost(&reflected);
        called += 1;
        if value < simplex[0].0 {
            let further = along(2.0);
            let best = cost(&further);
            called += 1;
            simplex[n] = if best < value { (best, further) } else { (value, reflected) };
        } else if value < simplex[n - 1].0 {
            simplex[n] = (value, reflected);
        } else {
            let nearer = if value < simplex[n].0 { along(0.5) } else { along(-0.5) };
            let contracted = cost(&nearer);
            called += 1;
            if contracted < simplex[n].0.min(value) {
                simplex[n] = (contracted, nearer);
            } else {
                let best = simplex[0].1.clone();
                for (value, point) in &mut simplex[1..] {
                    for (own, best) in point.iter_mut().zip(&best) {
                        *own = 0.5 * (*own + best);
                    }
                    *value = cost(point);
                }
                called += n;
            }
        }
    }
    simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
    simplex.swap_remove(0).1
}

/// A cost that grows as the square of small errors and in proportion to large ones.
pub(super) fn soft(error: f64) -> f64 {
    let scaled = error / 0.1;
    (1.0 + scaled * scaled).sqrt() - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curved_valley_is_followed_to_its_end() {
        let cost = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let found = minimise(cost, &[-1.2, 1.0], 0.5, 2_000);
        assert!((found[0] - 1.0).abs() < 1e-3 && (found[1] - 1.0).abs() < 1e-3, "{found:?}");
    }
}
