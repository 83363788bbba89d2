//! Positions on the earth as numbers: two coordinates of 26 bits, woven together, so that what is near has near numbers. Also distances,
//! and the squares of such numbers that a search has to look at.

use std::f64::consts::PI;

/// The steps of a whole number: bits for each coordinate.
const STEPS: u32 = 26;
const EARTH_RADIUS: f64 = 6_372_797.560_856;
const MERCATOR_MAX: f64 = 20_037_726.37;
const LONGITUDES: Span = Span {
    min: -180.0,
    max: 180.0,
};
/// Not the poles: squares end there.
const LATITUDES: Span = Span {
    min: -85.051_128_78,
    max: 85.051_128_78,
};
/// The bits of the longitude and of the latitude.
const LONGITUDE_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;

/// A position, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Position {
    pub(crate) longitude: f64,
    pub(crate) latitude: f64,
}

/// A range of degrees.
#[derive(Clone, Copy, Debug)]
struct Span {
    min: f64,
    max: f64,
}

impl Span {
    fn has(self, degrees: f64) -> bool {
        (self.min..=self.max).contains(&degrees)
    }

    /// Which of 2^steps parts has these degrees.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the degrees are within the range, and there are few parts"
    )]
    fn part(self, degrees: f64, steps: u32) -> u32 {
        ((degrees - self.min) / (self.max - self.min) * (1_u64 << steps) as f64) as u32
    }

    /// The degrees of a part.
    #[expect(clippy::cast_precision_loss, reason = "there are few parts")]
    fn of_part(self, part: u32, steps: u32) -> Self {
        let parts = (1_u64 << steps) as f64;
        let at = |part: u32| self.min + f64::from(part) / parts * (self.max - self.min);
        Self {
            min: at(part),
            max: at(part.wrapping_add(1)),
        }
    }

    fn middle(self, within: Self) -> f64 {
        f64::midpoint(self.min, self.max).clamp(within.min, within.max)
    }
}

impl Position {
    /// Where it can be stored.
    pub(crate) fn new(longitude: f64, latitude: f64) -> Option<Self> {
        (LONGITUDES.has(longitude) && LATITUDES.has(latitude)).then_some(Self {
            longitude,
            latitude,
        })
    }

    /// The score of a sorted set's member that stands for it.
    pub(crate) fn to_score(self) -> u64 {
        Cell::around(self, STEPS).bits
    }

    /// The position that a score stands for; any score does for one.
    pub(crate) fn from_score(score: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is no position is one nevertheless"
        )]
        let bits = if score < 0.0 {
            score as i64 as u64
        } else {
            score as u64
        };
        let (longitude, latitude) = Cell { bits, steps: STEPS }.spans();
        Self {
            longitude: longitude.middle(LONGITUDES),
            latitude: latitude.middle(LATITUDES),
        }
    }

    /// The geohash that others know: eleven letters, the last of which is always the same.
    pub(crate) fn to_text(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        const TO_THE_POLES: Span = Span {
            min: -90.0,
            max: 90.0,
        };
        let bits = weave(
            TO_THE_POLES.part(self.latitude, STEPS),
            LONGITUDES.part(self.longitude, STEPS),
        );
        let mut text = [LETTERS[0]; 11];
        for (letter, shift) in text.iter_mut().zip((2..=47).rev().step_by(5)) {
            *letter = LETTERS[(bits >> shift & 31) as usize];
        }
        text
    }

    /// Meters to another one, along the surface.
    pub(crate) fn meters_to(self, other: Self) -> f64 {
        /// Six nanometers on earth.
        const NOTHING: f64 = 1e-15;
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v.abs() <= NOTHING {
            return self.meters_north_to(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// Meters to the latitude of another one.
    fn meters_north_to(self, other: Self) -> f64 {
        EARTH_RADIUS * (radians(other.latitude) - radians(self.latitude)).abs()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

/// A square of the map: all positions whose numbers begin with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    bits: u64,
    steps: u32,
}

impl Cell {
    fn around(position: Position, steps: u32) -> Self {
        let bits = weave(
            LATITUDES.part(position.latitude, steps),
            LONGITUDES.part(position.longitude, steps),
        );
        Self { bits, steps }
    }

    /// Its longitudes and latitudes.
    fn spans(self) -> (Span, Span) {
        let (longitude, latitude) = (unweave(self.bits >> 1), unweave(self.bits));
        (
            LONGITUDES.of_part(longitude, self.steps),
            LATITUDES.of_part(latitude, self.steps),
        )
    }

    /// So many squares to the east and to the north, each of them -1, 0 or 1; around the map's edge.
    fn beside(self, east: i8, north: i8) -> Self {
        let unused = 64 - 2 * self.steps;
        let step = |own: u64, others: u64, by: i8| {
            let one = (others >> unused).wrapping_add(1);
            let moved = match by {
                0 => return self.bits & own,
                1 => (self.bits & own).wrapping_add(one),
                _ => (self.bits & own | others >> unused).wrapping_sub(one),
            };
            moved & own >> unused
        };
        let bits =
            step(LONGITUDE_BITS, LATITUDE_BITS, east) | step(LATITUDE_BITS, LONGITUDE_BITS, north);
        Self { bits, ..self }
    }

    /// The scores of its positions: the first, and the first that is none.
    #[expect(clippy::cast_precision_loss, reason = "scores have 52 bits")]
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS - self.steps);
        let at = |bits: u64| (bits << shift) as f64;
        (at(self.bits), at(self.bits.wrapping_add(1)))
    }
}

/// Bits of a latitude and a longitude in turn.
fn weave(latitude: u32, longitude: u32) -> u64 {
    spread(latitude) | spread(longitude) << 1
}

fn spread(bits: u32) -> u64 {
    let mut x = u64::from(bits);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & LATITUDE_BITS
}

/// Every other bit, from the lowest on.
fn unweave(bits: u64) -> u32 {
    let mut x = bits & LATITUDE_BITS;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    #[expect(clippy::cast_possible_truncation, reason = "32 bits are left")]
    let half = (x | x >> 16) as u32;
    half
}

/// The form of what is searched; lengths are in the search's unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
    Polygon(Vec<Position>),
}

/// What is searched.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    shape: Shape,
    center: Position,
    /// Meters of one unit.
    unit: f64,
    /// What needs no exact measure.
    outside: Option<Outside>,
}

/// Positions that are outside of a circle, as a few products tell: squares hold twice as many as the circle within them, and to measure
/// each takes three angle functions and a root. Every bound here errs towards the inside.
#[derive(Clone, Copy, Debug)]
struct Outside {
    /// The center, in radians.
    longitude: f64,
    latitude: f64,
    /// The radius, in radians.
    radius: f64,
    /// The square of the sine of half the radius.
    most: f64,
    /// The product of the cosines of the center's latitude and of the one nearest to a pole in the circle.
    narrowest: f64,
}

impl Outside {
    /// None of circles that go around half the earth.
    fn of_circle(center: Position, meters: f64) -> Option<Self> {
        /// More than all that is lost by rounding.
        const SLACK: f64 = 1e-9;
        /// The square of a length of less than two centimeters, in radii of the earth.
        const NOTHING: f64 = 1e-18;
        let radius = meters / EARTH_RADIUS * (1.0 + SLACK);
        if radius >= 2.0 {
            return None;
        }
        let latitude = radians(center.latitude);
        let farthest = latitude.abs() + radius;
        let cosine = if farthest < PI / 2.0 {
            farthest.cos()
        } else {
            0.0
        };
        let half = (radius / 2.0).sin();
        Some(Self {
            longitude: radians(center.longitude),
            latitude,
            radius: radius + SLACK * SLACK,
            most: half * half * (1.0 + SLACK) + NOTHING,
            narrowest: latitude.cos() * cosine * (1.0 - SLACK),
        })
    }

    fn has(self, position: Position) -> bool {
        let north = (radians(position.latitude) - self.latitude).abs();
        let east = (radians(position.longitude) - self.longitude).abs();
        // Of half the angle; no sine is less.
        let sine = |angle: f64| (angle / 2.0 - angle * angle * angle / 48.0).max(0.0);
        let (north_sine, east_sine) = (sine(north), sine(east));
        north > self.radius
            || north_sine * north_sine + self.narrowest * east_sine * east_sine > self.most
    }
}

/// The degrees around an area. They may be beyond the map's edge.
struct Bounds {
    longitude: Span,
    latitude: Span,
}

impl Area {
    /// Around `center`, or around its own where it is a polygon.
    pub(crate) fn new(shape: Shape, center: Position, unit: f64) -> Self {
        let center = match &shape {
            Shape::Polygon(corners) => centroid(corners),
            _ => center,
        };
        let outside = match &shape {
            Shape::Circle { radius } => Outside::of_circle(center, radius * unit),
            _ => None,
        };
        Self {
            shape,
            center,
            unit,
            outside,
        }
    }

    /// Meters from the center to a position within.
    pub(crate) fn distance(&self, position: Position) -> Option<f64> {
        if self.outside.is_some_and(|outside| outside.has(position)) {
            return None;
        }
        let meters = || self.center.meters_to(position);
        match &self.shape {
            Shape::Circle { radius } => Some(meters()).filter(|m| *m <= radius * self.unit),
            Shape::Box { width, height } => {
                if position.meters_north_to(self.center) > height * self.unit / 2.0 {
                    return None;
                }
                let beside = Position {
                    longitude: self.center.longitude,
                    ..position
                };
                let east = position.meters_to(beside);
                (east <= width * self.unit / 2.0).then(meters)
            }
            Shape::Polygon(corners) => is_inside(corners, position).then(meters),
        }
    }

    /// The ranges of scores where positions within may be: the square of the center, then its neighbours. One may come twice where
    /// squares are so large that the map ends.
    pub(crate) fn scores(&self) -> Vec<(f64, f64)> {
        let bounds = self.bounds();
        let mut steps = steps_for(self.reach(&bounds), self.center.latitude);
        if steps > 1 && !covers(Cell::around(self.center, steps), &bounds) {
            steps -= 1;
        }
        let cell = Cell::around(self.center, steps);
        let (longitude, latitude) = cell.spans();
        let is_of_use = |east: i8, north: i8| {
            steps < 2
                || !(north < 0 && latitude.min < bounds.latitude.min
                    || north > 0 && latitude.max > bounds.latitude.max
                    || east < 0 && longitude.min < bounds.longitude.min
                    || east > 0 && longitude.max > bounds.longitude.max)
        };
        let mut cells = vec![cell];
        let mut last = None;
        for (east, north) in [
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ] {
            let beside = cell.beside(east, north);
            if is_of_use(east, north) && last != Some(beside) {
                cells.push(beside);
                last = Some(beside);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }

    fn bounds(&self) -> Bounds {
        let (width, height) = match &self.shape {
            Shape::Circle { radius } => (self.unit * radius, self.unit * radius),
            Shape::Box { width, height } => (self.unit * width / 2.0, self.unit * height / 2.0),
            Shape::Polygon(corners) => return bounds_of(corners),
        };
        let Position {
            longitude,
            latitude,
        } = self.center;
        let north = degrees(height / EARTH_RADIUS);
        // The side that is nearer to the pole spans more degrees.
        let widest = if latitude < 0.0 {
            latitude - north
        } else {
            latitude + north
        };
        let east = degrees(width / EARTH_RADIUS / radians(widest).cos());
        Bounds {
            longitude: Span {
                min: longitude - east,
                max: longitude + east,
            },
            latitude: Span {
                min: latitude - north,
                max: latitude + north,
            },
        }
    }

    /// Meters from the center to the farthest place.
    fn reach(&self, bounds: &Bounds) -> f64 {
        let units = match &self.shape {
            Shape::Circle { radius } => *radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            Shape::Polygon(_) => {
                let (x, y) = (bounds.longitude, bounds.latitude);
                let corners = [
                    (x.min, y.max),
                    (x.max, y.max),
                    (x.min, y.min),
                    (x.max, y.min),
                ];
                let meters = corners.map(|(longitude, latitude)| {
                    self.center.meters_to(Position {
                        longitude,
                        latitude,
                    })
                });
                meters.into_iter().fold(0.0, f64::max)
            }
        };
        units * self.unit
    }
}

/// Whether a square and its neighbours go as far as the bounds.
fn covers(cell: Cell, bounds: &Bounds) -> bool {
    let north = cell.beside(0, 1).spans().1.max;
    let south = cell.beside(0, -1).spans().1.min;
    let east = cell.beside(1, 0).spans().0.max;
    let west = cell.beside(-1, 0).spans().0.min;
    north >= bounds.latitude.max
        && south <= bounds.latitude.min
        && east >= bounds.longitude.max
        && west <= bounds.longitude.min
}

/// How small squares may be so that nine of them hold what is so many meters around a place.
fn steps_for(mut meters: f64, latitude: f64) -> u32 {
    if meters == 0.0 {
        return STEPS;
    }
    let mut steps = 1_i32;
    while meters < MERCATOR_MAX {
        meters *= 2.0;
        steps += 1;
    }
    // So that they do in most cases; towards the poles degrees are shorter.
    steps -= 2 + i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    u32::try_from(steps).unwrap_or(1).clamp(1, STEPS)
}

fn bounds_of(corners: &[Position]) -> Bounds {
    let span = |all: Span, of: fn(&Position) -> f64| Span {
        min: corners.iter().map(of).fold(all.max, f64::min),
        max: corners.iter().map(of).fold(all.min, f64::max),
    };
    Bounds {
        longitude: span(LONGITUDES, |corner| corner.longitude),
        latitude: span(LATITUDES, |corner| corner.latitude),
    }
}

/// The middle of the corners on the sphere.
fn centroid(corners: &[Position]) -> Position {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for corner in corners {
        let (longitude, latitude) = (radians(corner.longitude), radians(corner.latitude));
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    Position {
        longitude: degrees(y.atan2(x)),
        latitude: degrees(z.atan2((x * x + y * y).sqrt())),
    }
}

/// Whether a ray from the position to the east crosses an odd number of edges.
fn is_inside(corners: &[Position], position: Position) -> bool {
    let Some(last) = corners.last() else {
        return false;
    };
    let mut inside = false;
    let mut other = last;
    for corner in corners {
        let spans = (corner.latitude > position.latitude) != (other.latitude > position.latitude);
        let crossing = || {
            (other.longitude - corner.longitude) * (position.latitude - corner.latitude)
                / (other.latitude - corner.latitude)
                + corner.longitude
        };
        if spans && position.longitude < crossing() {
            inside = !inside;
        }
        other = corner;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(longitude: f64, latitude: f64) -> Position {
        Position::new(longitude, latitude).unwrap()
    }

    #[test]
    fn the_scores_and_distances_of_two_cities() {
        let (palermo, catania) = (at(13.361_389, 38.115_556), at(15.087_269, 37.502_669));
        assert_eq!(palermo.to_score(), 3_479_099_956_230_698);
        assert_eq!(catania.to_score(), 3_479_447_370_796_909);
        assert_eq!(&palermo.to_text(), b"sqc8b49rny0");
        let stored = Position::from_score(3_479_099_956_230_698.0);
        assert!((stored.longitude - 13.361_389).abs() < 1e-5);
        let other = Position::from_score(3_479_447_370_796_909.0);
        assert_eq!(format!("{:.4}", stored.meters_to(other)), "166274.1516");
        assert_eq!(Position::new(180.1, 0.0), None);
        assert_eq!(Position::new(0.0, 86.0), None);
    }

    #[test]
    fn any_score_is_a_position() {
        for score in [0.0, -1.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, 4.5e15] {
            let Position {
                longitude,
                latitude,
            } = Position::from_score(score);
            assert!(Position::new(longitude, latitude).is_some(), "{score}");
        }
    }

    fn place() -> impl Strategy<Value = Position> {
        (-180.0..=180.0, -85.05..=85.05).prop_map(|(longitude, latitude)| at(longitude, latitude))
    }

    proptest! {
        /// Whatever is within the area lies in one of the squares that are looked at. At the poles, and across the edge of the map,
        /// squares can be too few: as in Redis.
        #[test]
        fn squares_hold_what_is_within(center in place(), other in place(), radius in 0.0..2e6, is_box in any::<bool>()) {
            let near = at(
                (center.longitude + other.longitude / 30.0).clamp(-180.0, 180.0),
                (center.latitude + other.latitude / 10.0).clamp(-85.0, 85.0),
            );
            prop_assume!(center.latitude.abs() < 60.0 && center.longitude.abs() < 150.0);
            let shape = if is_box {
                Shape::Box { width: radius, height: radius / 2.0 }
            } else {
                Shape::Circle { radius }
            };
            let area = Area::new(shape, center, 1.0);
            #[expect(clippy::cast_precision_loss, reason = "52 bits")]
            let score = near.to_score() as f64;
            if area.distance(Position::from_score(score)).is_some() {
                prop_assert!(area.scores().iter().any(|(min, max)| (*min..*max).contains(&score)));
            }
        }

        /// Also where a circle ends within a millionth of the radius of the place.
        #[test]
        fn nothing_within_is_taken_for_outside(center in place(), other in place(), share in 0.0..1.5, near in 0.0..1e-6, close in any::<bool>()) {
            let other = if close {
                at(
                    (center.longitude + other.longitude / 1e4).clamp(-180.0, 180.0),
                    (center.latitude + other.latitude / 1e4).clamp(-85.0, 85.0),
                )
            } else {
                other
            };
            let meters = center.meters_to(other);
            for radius in [meters, meters * (1.0 + near), meters * (1.0 - near), meters * share, 0.0] {
                if Outside::of_circle(center, radius).is_some_and(|outside| outside.has(other)) {
                    prop_assert!(meters > radius, "{meters} of {radius}");
                }
            }
            let outside = Outside::of_circle(center, meters * 0.9);
            // It tells of most that it could, but near the poles.
            if close && center.latitude.abs() < 80.0 && meters > 1.0 {
                prop_assert!(outside.is_some_and(|outside| outside.has(other)));
            }
        }

        #[test]
        fn a_position_survives_its_score(place in place()) {
            #[expect(clippy::cast_precision_loss, reason = "52 bits")]
            let stored = Position::from_score(place.to_score() as f64);
            prop_assert!(stored.meters_to(place) < 1.0);
        }
    }
}
