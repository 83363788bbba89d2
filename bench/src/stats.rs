//! Medians and ratios, and how figures are printed.

/// The middle one; between the two middle ones where their number is even. None of no values.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// How many times `of` one is; none where that says nothing.
#[must_use]
pub fn ratio(one: f64, of: f64) -> Option<f64> {
    let ratio = one / of;
    (of > 0.0 && ratio.is_finite()).then_some(ratio)
}

/// A figure with three digits that matter: `0.123`, `1.23`, `12.3`, `1234`.
#[must_use]
pub fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 99.95 => 0,
        large if large >= 9.995 => 1,
        large if large >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// A ratio as `×1.83`; a dash where there is none.
#[must_use]
pub fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("×{ratio:.2}"))
}

/// A count in full, in groups of three digits.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_care_for_order_or_outliers() {
        assert_eq!(median([3.0, 1.0, 1000.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([7.0]), Some(7.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_ratio_to_nothing_is_none() {
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!(ratio(3.0, 0.0), None);
        assert_eq!(times(ratio(0.0, 0.0)), "–");
        assert_eq!(times(Some(1.834)), "×1.83");
    }

    #[test]
    fn figures_have_three_digits_that_matter() {
        for (value, text) in [
            (0.0, "0.000"),
            (0.1234, "0.123"),
            (0.9996, "1.00"),
            (1.234, "1.23"),
            (9.996, "10.0"),
            (99.96, "100"),
            (1234.4, "1234"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
