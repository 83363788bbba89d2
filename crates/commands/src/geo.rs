//! Positions: sorted sets whose scores stand for places on the earth. See `geohash` for the mathematics.

use std::cmp::Ordering;

use resp::Reply;
use store::{Owned, ScoreBound, Zset};

use crate::args::{Reader, float, is};
use crate::geohash::{Area, Position, Shape};
use crate::zset::{AddOptions, add_pairs, read};
use crate::{Args, Ctx, Done, Error, EventClass};

/// GEOADD key [NX|XX] [CH] longitude latitude member … Goes to replicas and files as the ZADD that it is.
pub(crate) fn geoadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 2);
    let mut options = AddOptions::default();
    loop {
        let option = if reader.takes("NX") {
            &mut options.nx
        } else if reader.takes("XX") {
            &mut options.xx
        } else if reader.takes("CH") {
            &mut options.ch
        } else {
            break;
        };
        *option = true;
    }
    let first = reader.position();
    let triples = reader.rest();
    if !triples.len().is_multiple_of(3) || options.nx && options.xx {
        return Err(Error::Syntax);
    }
    let triples = triples.chunks_exact(3);
    let scores: Result<Vec<String>, Error> = triples
        .clone()
        .map(|triple| Ok(position(triple)?.to_score().to_string()))
        .collect();
    let scores = scores?;
    let members = triples.map(|triple| triple[2]);
    let pairs: Vec<&[u8]> = scores
        .iter()
        .zip(members)
        .flat_map(|(score, member)| [score.as_bytes(), member])
        .collect();
    let dirty = ctx.effects.dirty;
    add_pairs(ctx, args[1], &pairs, options)?;
    if ctx.effects.dirty > dirty {
        let command = [&[&b"ZADD"[..]], &args[1..first], &pairs[..]].concat();
        ctx.effects.propagate_instead(&command);
    }
    Ok(())
}

/// Two words, longitude and latitude.
fn position(words: Args<'_>) -> Result<Position, Error> {
    let (longitude, latitude) = (float(words[0])?, float(words[1])?);
    Position::new(longitude, latitude).ok_or_else(|| {
        Error::owned(format!(
            "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        ))
    })
}

/// The meters of a unit.
fn unit(word: &[u8]) -> Result<f64, Error> {
    [("M", 1.0), ("KM", 1000.0), ("FT", 0.3048), ("MI", 1609.34)]
        .into_iter()
        .find(|(name, _)| is(word, name))
        .map(|(_, meters)| meters)
        .ok_or(Error::text(
            "ERR unsupported unit provided. please use M, KM, FT, MI",
        ))
}

/// A distance with four digits after the point.
fn reply_distance(reply: &mut Reply, distance: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "distances on earth")]
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    reply.bulk_display(format_args!("{}.{:04}", scaled / 10_000, scaled % 10_000));
}

fn reply_position(reply: &mut Reply, position: Position) {
    reply.array(2);
    for degrees in [position.longitude, position.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        reply.double_text(if text == "-0" { "0" } else { text });
    }
}

/// GEODIST key member1 member2 [unit]
pub(crate) fn geodist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let unit = match args.get(4) {
        _ if args.len() > 5 => return Err(Error::Syntax),
        Some(word) => unit(word)?,
        None => 1.0,
    };
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    let place = |member: &[u8]| Some(Position::from_score(zset?.score(member)?));
    match (place(args[2]), place(args[3])) {
        (Some(from), Some(to)) => reply_distance(ctx.reply, from.meters_to(to) / unit),
        _ => ctx.reply.nil(),
    }
    Ok(())
}

/// GEOHASH key member …
pub(crate) fn geohash(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    ctx.reply.array(args.len() - 2);
    for member in &args[2..] {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.bulk(Position::from_score(score).to_text()),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

/// GEOPOS key member …
pub(crate) fn geopos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    ctx.reply.array(args.len() - 2);
    for member in &args[2..] {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => reply_position(ctx.reply, Position::from_score(score)),
            None => ctx.reply.null_array(),
        }
    }
    Ok(())
}

// ---- searching ---------------------------------------------------------------------------------------------------------

/// GEOSEARCH key FROMMEMBER member|FROMLONLAT longitude latitude BYRADIUS radius unit|BYBOX width height unit, or
/// BYPOLYGON count longitude latitude …, [ASC|DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]
pub(crate) fn geosearch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    search(ctx, args, Command::Search)
}

/// GEOSEARCHSTORE destination source …, as GEOSEARCH, [STOREDIST]
pub(crate) fn geosearchstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    search(ctx, args, Command::SearchStore)
}

/// GEORADIUS key longitude latitude radius unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC|DESC] [STORE key|STOREDIST key]
pub(crate) fn georadius(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    search(ctx, args, Command::Radius { stores: true })
}

/// GEORADIUS_RO, as GEORADIUS without STORE and STOREDIST
pub(crate) fn georadius_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    search(ctx, args, Command::Radius { stores: false })
}

/// GEORADIUSBYMEMBER key member radius unit …, as GEORADIUS
pub(crate) fn georadiusbymember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    search(ctx, args, Command::RadiusByMember { stores: true })
}

/// GEORADIUSBYMEMBER_RO, as GEORADIUSBYMEMBER without STORE and STOREDIST
pub(crate) fn georadiusbymember_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    search(ctx, args, Command::RadiusByMember { stores: false })
}

/// Which of the commands is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Search,
    SearchStore,
    Radius { stores: bool },
    RadiusByMember { stores: bool },
}

impl Command {
    fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::SearchStore)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// What the arguments ask for.
#[derive(Default)]
struct Query<'a> {
    center: Option<Position>,
    from_member: bool,
    from_position: bool,
    shape: Option<Shape>,
    unit: f64,
    distances: bool,
    hashes: bool,
    positions: bool,
    /// So many at most.
    count: Option<usize>,
    /// Whichever are found first.
    any: bool,
    order: Option<Order>,
    store: Option<&'a [u8]>,
    /// The distances become the scores.
    store_distances: bool,
}

/// A member that was found.
struct Found<'a> {
    member: &'a [u8],
    score: f64,
    position: Position,
    /// In the unit of the search.
    distance: f64,
}

fn search(ctx: &mut Ctx<'_>, args: Args<'_>, command: Command) -> Done {
    let source = if command == Command::SearchStore {
        2
    } else {
        1
    };
    let zset = read(ctx.keyspace.db(ctx.db), args[source])?;
    let query = Query::parse(args, source, command, zset)?;
    let mut found = match zset {
        Some(zset) => query.run(zset)?,
        None => Vec::new(),
    };
    query.sort(&mut found);
    found.truncate(query.count.unwrap_or(usize::MAX));
    let Some(to) = query.store else {
        query.reply(ctx.reply, &found);
        return Ok(());
    };
    let limits = &ctx.settings.limits;
    let mut result = Zset::new();
    for found in &found {
        let score = if query.store_distances {
            found.distance
        } else {
            found.score
        };
        result.insert(found.member, score, limits);
    }
    result.compact_if_small(limits);
    let event = if command.is_search() {
        "geosearchstore"
    } else {
        "georadiusstore"
    };
    store(ctx, to, result, event);
    Ok(())
}

/// Puts the result at `to`, or removes what was there if the result is empty; replies its size.
fn store(ctx: &mut Ctx<'_>, to: &[u8], result: Zset, event: &'static str) {
    let members = result.len();
    let db = ctx.keyspace.db(ctx.db);
    if members > 0 {
        db.insert(to, Owned::Zset(result));
        ctx.effects.key_ready(ctx.db, to);
        ctx.changed(to, EventClass::Zset, event);
        ctx.effects.dirty += members as u64 - 1;
    } else if db.remove(to) {
        ctx.changed(to, EventClass::Generic, "del");
    }
    ctx.reply.count(members);
}

impl<'a> Query<'a> {
    fn parse(
        args: Args<'a>,
        source: usize,
        command: Command,
        zset: Option<&Zset>,
    ) -> Result<Self, Error> {
        let mut query = Self::default();
        let mut reader = Reader::from(args, source + 1);
        match command {
            Command::Search => {}
            Command::SearchStore => query.store = Some(args[1]),
            Command::Radius { .. } => {
                query.center = Some(position(reader.words(2)?)?);
                query.circle(&mut reader)?;
            }
            Command::RadiusByMember { .. } => {
                let words = reader.words(3)?;
                // Without a source nothing is measured.
                if let Some(zset) = zset {
                    query.center = Some(place_of(zset, words[0])?);
                    query.circle(&mut Reader::from(words, 1))?;
                }
            }
        }
        while !reader.is_empty() {
            let taken = query.takes_common(&mut reader)?
                || command.is_search() && query.takes_shape(&mut reader, zset)?
                || query.takes_store(&mut reader, command)?;
            if !taken {
                return Err(Error::Syntax);
            }
        }
        query.check(args[0], command)?;
        Ok(query)
    }

    /// Options that all the commands have.
    fn takes_common(&mut self, reader: &mut Reader<'_>) -> Result<bool, Error> {
        if reader.takes("WITHDIST") {
            self.distances = true;
        } else if reader.takes("WITHHASH") {
            self.hashes = true;
        } else if reader.takes("WITHCOORD") {
            self.positions = true;
        } else if reader.takes("ANY") {
            self.any = true;
        } else if reader.takes("ASC") {
            self.order = Some(Order::Nearest);
        } else if reader.takes("DESC") {
            self.order = Some(Order::Farthest);
        } else if reader.takes_with("COUNT", 1) {
            let count = usize::try_from(reader.int()?).unwrap_or(0);
            if count == 0 {
                return Err(Error::text("ERR COUNT must be > 0"));
            }
            self.count = Some(count);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Where GEOSEARCH looks.
    fn takes_shape(&mut self, reader: &mut Reader<'_>, zset: Option<&Zset>) -> Result<bool, Error> {
        let is_polygon = matches!(self.shape, Some(Shape::Polygon(_)));
        let is_box = matches!(self.shape, Some(Shape::Box { .. }));
        let is_circle = matches!(self.shape, Some(Shape::Circle { .. }));
        let has_center = self.from_member || self.from_position;
        if !self.from_position && !is_polygon && reader.takes_with("FROMMEMBER", 1) {
            let member = reader.word()?;
            if let Some(zset) = zset {
                self.center = Some(place_of(zset, member)?);
            }
            self.from_member = true;
        } else if !self.from_member && !is_polygon && reader.takes_with("FROMLONLAT", 2) {
            self.center = Some(position(reader.words(2)?)?);
            self.from_position = true;
        } else if !is_box && !is_polygon && reader.takes_with("BYRADIUS", 2) {
            self.circle(reader)?;
        } else if !is_circle && !is_polygon && reader.takes_with("BYBOX", 3) {
            self.rectangle(reader)?;
        } else if !is_circle && !is_box && !has_center && reader.takes_with("BYPOLYGON", 2) {
            self.polygon(reader)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn takes_store(&mut self, reader: &mut Reader<'a>, command: Command) -> Result<bool, Error> {
        match command {
            Command::SearchStore if reader.takes("STOREDIST") => self.store_distances = true,
            Command::Radius { stores: true } | Command::RadiusByMember { stores: true } => {
                if reader.takes_with("STORE", 1) {
                    self.store_distances = false;
                } else if reader.takes_with("STOREDIST", 1) {
                    self.store_distances = true;
                } else {
                    return Ok(false);
                }
                self.store = Some(reader.word()?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn circle(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let radius = float(reader.word()?).map_err(|_| Error::text("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(Error::text("ERR radius cannot be negative"));
        }
        self.unit = unit(reader.word()?)?;
        self.shape = Some(Shape::Circle { radius });
        Ok(())
    }

    fn rectangle(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let width = float(reader.word()?).map_err(|_| Error::text("ERR need numeric width"))?;
        let height = float(reader.word()?).map_err(|_| Error::text("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::text("ERR height or width cannot be negative"));
        }
        self.unit = unit(reader.word()?)?;
        self.shape = Some(Shape::Box { width, height });
        Ok(())
    }

    fn polygon(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let corners = reader
            .int()
            .ok()
            .and_then(|corners| i32::try_from(corners).ok());
        let corners = corners.ok_or(Error::text("ERR invalid number of vertices"))?;
        let corners = usize::try_from(corners).unwrap_or(0);
        if corners < 3 || corners > reader.len() / 2 {
            return Err(Error::text(
                "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
            ));
        }
        let words = reader.words(2 * corners)?;
        let corners: Result<_, Error> = words.chunks_exact(2).map(position).collect();
        (self.unit, self.shape) = (1.0, Some(Shape::Polygon(corners?)));
        Ok(())
    }

    /// What does not go together, and what is missing.
    fn check(&self, name: &[u8], command: Command) -> Result<(), Error> {
        if self.store.is_some() && (self.distances || self.hashes || self.positions) {
            return Err(Error::text(if command == Command::SearchStore {
                "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            } else {
                "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            }));
        }
        let is_polygon = matches!(self.shape, Some(Shape::Polygon(_)));
        if command.is_search() && !(self.from_member || self.from_position || is_polygon) {
            let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(Error::quoting(text, name, ""));
        }
        if command.is_search() && self.shape.is_none() {
            let text = "ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for ";
            return Err(Error::quoting(text, name, ""));
        }
        if self.any && self.count.is_none() {
            return Err(Error::text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// All members within the area; with ANY as many as are asked for.
    fn run<'z>(&self, zset: &'z Zset) -> Result<Vec<Found<'z>>, Error> {
        let anywhere = Position::from_score(0.0);
        let shape = self.shape.clone().ok_or(Error::Syntax)?;
        let area = Area::new(shape, self.center.unwrap_or(anywhere), self.unit);
        let most = if self.any { self.count } else { None };
        let most = most.unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for (min, max) in area.scores() {
            let bound = |value, exclusive| ScoreBound { value, exclusive };
            let ranks = zset.ranks_by_score(bound(min, false), bound(max, true));
            for (member, score) in zset.range(ranks) {
                if found.len() >= most {
                    return Ok(found);
                }
                let position = Position::from_score(score);
                if let Some(meters) = area.distance(position) {
                    let distance = meters / self.unit;
                    found.push(Found {
                        member,
                        score,
                        position,
                        distance,
                    });
                }
            }
        }
        Ok(found)
    }

    /// A count without an order means the nearest.
    fn sort(&self, found: &mut [Found<'_>]) {
        let nearest = (self.count.is_some() && !self.any).then_some(Order::Nearest);
        let by = |a: &Found<'_>, b: &Found<'_>| {
            a.distance
                .partial_cmp(&b.distance)
                .unwrap_or(Ordering::Equal)
        };
        match self.order.or(nearest) {
            Some(Order::Nearest) => found.sort_by(by),
            Some(Order::Farthest) => found.sort_by(|a, b| by(b, a)),
            None => {}
        }
    }

    fn reply(&self, reply: &mut Reply, found: &[Found<'_>]) {
        let more = [self.distances, self.hashes, self.positions];
        let more = more.into_iter().filter(|asked| *asked).count();
        reply.array(found.len());
        for found in found {
            if more > 0 {
                reply.array(1 + more);
            }
            reply.bulk(found.member);
            if self.distances {
                reply_distance(reply, found.distance);
            }
            if self.hashes {
                #[expect(clippy::cast_possible_truncation, reason = "as Redis does")]
                reply.int(found.score as i64);
            }
            if self.positions {
                reply_position(reply, found.position);
            }
        }
    }
}

fn place_of(zset: &Zset, member: &[u8]) -> Result<Position, Error> {
    let score = zset.score(member);
    let missing = || Error::quoting("ERR member ", member, " does not exist");
    score.map(Position::from_score).ok_or_else(missing)
}
