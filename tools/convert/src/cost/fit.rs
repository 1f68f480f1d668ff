//! Linear least squares in three unknowns, by the error relative to a size.

/// Coefficients of three terms.
pub type Terms = [f64; 3];

/// The coefficients by which `terms` come closest to `value`, each equation divided by its `size`.
///
/// Takes (terms, value, size). Equations that do not determine all three leave the others zero.
pub fn fit(equations: impl Iterator<Item = (Terms, f64, f64)>) -> Terms {
    let mut a = [[0.0; 4]; 3];
    for (terms, value, size) in equations {
        for (row, &t) in a.iter_mut().zip(&terms) {
            for (cell, &other) in row.iter_mut().zip(terms.iter().chain([&value])) {
                *cell += t * other / (size * size);
            }
        }
    }
    solve(a)
}

/// The sum of terms times coefficients.
pub fn dot(a: Terms, b: Terms) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

/// Gauss and Jordan with the largest pivot of each column.
fn solve(mut a: [[f64; 4]; 3]) -> Terms {
    let mut pivots = [None; 3];
    let mut rows: Vec<usize> = vec![0, 1, 2];
    for (column, pivot) in pivots.iter_mut().enumerate() {
        let largest = rows.iter().copied().max_by(|&p, &q| a[p][column].abs().total_cmp(&a[q][column].abs()));
        let Some(row) = largest.filter(|&r| a[r][column].abs() > 1e-12) else { continue };
        rows.retain(|&r| r != row);
        *pivot = Some(row);
        let top = a[row];
        for (r, line) in a.iter_mut().enumerate() {
            let factor = line[column] / top[column];
            if r != row {
                line.iter_mut().zip(&top).for_each(|(v, t)| *v -= factor * t);
            }
        }
    }
    std::array::from_fn(|column| pivots[column].map_or(0.0, |row| a[row][3] / a[row][column]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_found_exactly() {
        let known = [3.0, -2.0, 50.0];
        let points = [[1.0, 7.0, 1.0], [2.0, 1.0, 1.0], [5.0, 5.0, 1.0], [9.0, 2.0, 1.0]];
        let found = fit(points.iter().map(|&p| (p, dot(known, p), 10.0)));
        assert!(found.iter().zip(&known).all(|(f, k)| (f - k).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn what_is_not_determined_is_zero() {
        let bits = |terms: Terms| terms.map(f64::to_bits);
        assert_eq!(bits(fit(std::iter::empty())), bits([0.0; 3]));
        assert_eq!(bits(fit(std::iter::once(([2.0, 0.0, 0.0], 8.0, 1.0)))), bits([4.0, 0.0, 0.0]));
    }
}
