//! The text of nodes.conf and of CLUSTER NODES: one line per node, and in the file a last line with the epochs.
//!
//! Reading is all or nothing: a file that is cut (by more than the end of its last number), or that contradicts itself, is refused with
//! the line that shows it. Both are read as 3.0 writes them (`ip:port`) and as later versions do (`ip:port@busport,hostname`, and in the file
//! `,key=value…`), and written as those do.
//! Which nodes go into the text is decided by the node that writes it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use crate::message::{Announced, NodeFlags};
use crate::{BUS_PORT_OFFSET, MAX_EPOCH, NodeId, Slot, SlotSet};

/// What a nodes.conf holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesConf {
    /// Every node, in the order of the file; exactly one has the flag "myself".
    pub nodes: Vec<NodeLine>,
    /// The newest epoch this node knew of.
    pub current_epoch: u64,
    /// The epoch in which this node last voted.
    pub last_vote_epoch: u64,
}

impl NodesConf {
    /// Whether a replica's shard is not its master's, as it was once written.
    pub(crate) fn shards_differ(&self) -> bool {
        let master_of = |line: &NodeLine| {
            let id = line.master?;
            self.nodes.iter().find(|other| other.id == id)
        };
        let mut nodes = self.nodes.iter();
        nodes.any(|line| master_of(line).is_some_and(|master| master.shard != line.shard))
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// Which node.
    pub id: NodeId,
    /// Its address, if known.
    pub ip: Option<IpAddr>,
    /// The address that is meant for the client who asks, as it was announced; empty where that is the one above.
    pub ip_for_client: String,
    /// Its port for clients.
    pub port: u16,
    /// Its bus port; 0 where its port is unknown.
    pub bus_port: u16,
    /// Its port for clients with TLS; 0: none.
    pub tls_port: u16,
    /// What it announces of itself.
    pub announced: Announced,
    /// Its shard (only in the file).
    pub shard: Option<NodeId>,
    /// Its flags.
    pub flags: NodeFlags,
    /// Its master, if it is a replica and that is known.
    pub master: Option<NodeId>,
    /// When a ping was sent that is not answered yet, Unix milliseconds, or 0.
    pub ping_sent: u64,
    /// When the last pong came, Unix milliseconds, or 0.
    pub pong_received: u64,
    /// Its config epoch.
    pub config_epoch: u64,
    /// Whether the bus link to it is up.
    pub connected: bool,
    /// The slots it serves.
    pub slots: SlotSet,
    /// Slots it is handing over, and to whom (only on the line of "myself").
    pub migrating: Vec<(Slot, NodeId)>,
    /// Slots it is taking over, and from whom (only on the line of "myself").
    pub importing: Vec<(Slot, NodeId)>,
}

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// Number of the line, from 1; one past the end when something is missing.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line, or with the file at this line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Problem {
    #[error("not UTF-8 text")]
    NotText,
    #[error("the file is cut: the last line has no end")]
    NoFinalNewline,
    #[error("the file is cut: the line \"vars currentEpoch … lastVoteEpoch …\" is missing")]
    NoVars,
    #[error("text after the \"vars\" line")]
    AfterVars,
    #[error("malformed \"vars\" line")]
    BadVars,
    #[error("eight fields expected, found {0}")]
    TooFewFields(usize),
    #[error("malformed {field} \"{text}\"")]
    BadField { field: &'static str, text: String },
    #[error("node {0} is described twice")]
    DuplicateNode(NodeId),
    #[error("slot {0} belongs to two nodes")]
    DuplicateSlot(Slot),
    #[error("node {0} is mentioned but not described")]
    UnknownNode(NodeId),
    #[error("no node, or more than one, is \"myself\"")]
    NotOneMyself,
    #[error("a node is its own master")]
    OwnMaster,
}

/// Reads the file as it stands on disk. An empty file is no configuration yet: `None`.
///
/// # Errors
/// Anything else that is not a whole, consistent nodes.conf.
pub fn load(bytes: &[u8]) -> Result<Option<NodesConf>, ParseError> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        parse(bytes).map(Some)
    }
}

/// Reads a nodes.conf.
///
/// # Errors
/// See [`Problem`].
pub fn parse(bytes: &[u8]) -> Result<NodesConf, ParseError> {
    let text = text_of(bytes)?;
    let end = text.lines().count() + 1;
    let whole = text.ends_with('\n');
    if !whole && !ends_in_last_vote(text) {
        return Err(ParseError {
            line: end - 1,
            problem: Problem::NoFinalNewline,
        });
    }
    let mut nodes = Vec::new();
    let mut vars = None;
    for (line, fields) in lines(text) {
        let problem = if vars.is_some() {
            Err(Problem::AfterVars)
        } else if fields[0].eq_ignore_ascii_case("vars") {
            parse_vars(&fields).map(|epochs| vars = Some(epochs))
        } else {
            parse_fields(&fields).map(|node| nodes.push((line, node)))
        };
        problem.map_err(|problem| ParseError { line, problem })?;
    }
    let (current_epoch, mut last_vote_epoch) = vars.ok_or(ParseError {
        line: end,
        problem: Problem::NoVars,
    })?;
    if !whole {
        // It may be the beginning of a number: it counts as the highest that it can be.
        last_vote_epoch = current_epoch;
    }
    check_together(&nodes, end)?;
    let nodes = nodes.into_iter().map(|(_, node)| node).collect();
    Ok(NodesConf {
        nodes,
        current_epoch,
        last_vote_epoch,
    })
}

/// Reads the reply of CLUSTER NODES: lines without epochs.
///
/// # Errors
/// See [`Problem`].
pub fn parse_nodes(bytes: &[u8]) -> Result<Vec<NodeLine>, ParseError> {
    lines(text_of(bytes)?)
        .map(|(line, fields)| parse_fields(&fields).map_err(|problem| ParseError { line, problem }))
        .collect()
}

/// The text of a file with these lines.
pub(crate) fn text(
    lines: impl Iterator<Item = impl Borrow<NodeLine>>,
    current_epoch: u64,
    last_vote_epoch: u64,
) -> String {
    let mut text = String::with_capacity(LINE_ROOM * lines.size_hint().1.unwrap_or(1));
    for node in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", InFile(node.borrow()));
    }
    let _ = writeln!(
        text,
        "vars currentEpoch {current_epoch} lastVoteEpoch {last_vote_epoch}"
    );
    text
}

/// Room for one line, as most are.
const LINE_ROOM: usize = 256;

/// A line as the file has it.
struct InFile<'a>(&'a NodeLine);

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, true)
    }
}

impl fmt::Display for NodesConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.nodes.iter();
        f.write_str(&text(lines, self.current_epoch, self.last_vote_epoch))
    }
}

/// As CLUSTER NODES shows it.
impl fmt::Display for NodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

impl NodeLine {
    /// What only the file has: `,key=value` for each.
    fn write_fields(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Announced {
            hostname,
            nodename,
            client_ipv4,
            client_ipv6,
            client_port,
            client_tls_port,
            availability_zone,
        } = &self.announced;
        if hostname.is_empty() {
            f.write_str(",")?;
        }
        let text = |f: &mut fmt::Formatter<'_>, key: &str, value: &str| match value {
            "" => Ok(()),
            value => write!(f, ",{key}={value}"),
        };
        let port = |f: &mut fmt::Formatter<'_>, key: &str, value: u16| match value {
            0 => Ok(()),
            value => write!(f, ",{key}={value}"),
        };
        text(f, "availability-zone", availability_zone)?;
        port(f, "client-tls-port", *client_tls_port)?;
        port(f, "client-tcp-port", *client_port)?;
        text(f, "client-ipv6", client_ipv6)?;
        text(f, "client-ipv4", client_ipv4)?;
        write!(f, ",tls-port={}", self.tls_port)?;
        text(f, "nodename", nodename)?;
        self.shard
            .map_or(Ok(()), |shard| write!(f, ",shard-id={shard}"))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, in_file: bool) -> fmt::Result {
        write!(f, "{} ", self.id)?;
        match self.ip {
            _ if !self.ip_for_client.is_empty() => f.write_str(&self.ip_for_client)?,
            Some(ip) => write!(f, "{ip}")?,
            None => {}
        }
        write!(f, ":{}@{}", self.port, self.bus_port)?;
        if !self.announced.hostname.is_empty() {
            write!(f, ",{}", self.announced.hostname)?;
        }
        if in_file {
            self.write_fields(f)?;
        }
        write!(f, " {} ", self.flags)?;
        match self.master {
            Some(master) => write!(f, "{master}")?,
            None => f.write_str("-")?,
        }
        let link = if self.connected {
            "connected"
        } else {
            "disconnected"
        };
        write!(
            f,
            " {} {} {} {link}",
            self.ping_sent, self.pong_received, self.config_epoch
        )?;
        for (first, last) in self.slots.ranges() {
            if first == last {
                write!(f, " {first}")?;
            } else {
                write!(f, " {first}-{last}")?;
            }
        }
        let mut open: Vec<_> = self
            .migrating
            .iter()
            .map(|(slot, to)| (slot, ">", to))
            .collect();
        open.extend(self.importing.iter().map(|(slot, from)| (slot, "<", from)));
        open.sort();
        open.iter()
            .try_for_each(|(slot, arrow, node)| write!(f, " [{slot}-{arrow}-{node}]"))
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()]
            .iter()
            .filter(|&&c| c == b'\n')
            .count();
        ParseError {
            line,
            problem: Problem::NotText,
        }
    })
}

/// The lines that are not blank (Redis pads the file with line ends when it shrinks), split into fields.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    (1..)
        .zip(text.lines())
        .map(|(number, line)| (number, line.split_ascii_whitespace().collect::<Vec<_>>()))
        .filter(|(_, fields)| !fields.is_empty())
}

/// Whether a text without a line end at its end lacks no more than that and digits of the last vote's epoch.
fn ends_in_last_vote(text: &str) -> bool {
    let line = text.lines().next_back().unwrap_or_default();
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    matches!(&fields[..], ["vars", .., name, _] if name.eq_ignore_ascii_case("lastVoteEpoch"))
}

fn parse_vars(fields: &[&str]) -> Result<(u64, u64), Problem> {
    let (mut current, mut last_vote) = (None, None);
    for pair in fields[1..].chunks(2) {
        let &[name, value] = pair else {
            return Err(Problem::BadVars);
        };
        // Names of later versions are passed over, as 3.0 does.
        if name.eq_ignore_ascii_case("currentEpoch") {
            current = Some(epoch(value)?);
        } else if name.eq_ignore_ascii_case("lastVoteEpoch") {
            last_vote = Some(epoch(value)?);
        }
    }
    current.zip(last_vote).ok_or(Problem::BadVars)
}

fn parse_fields(fields: &[&str]) -> Result<NodeLine, Problem> {
    let &[
        id,
        address,
        flags,
        master,
        ping,
        pong,
        config_epoch,
        link,
        ref slots @ ..,
    ] = fields
    else {
        return Err(Problem::TooFewFields(fields.len()));
    };
    let address = parse_address(address).ok_or_else(|| bad("address", address))?;
    let mut node = NodeLine {
        id: node_id(id)?,
        ip: address.ip,
        ip_for_client: String::new(),
        port: address.port,
        bus_port: address.bus_port,
        tls_port: address.tls_port,
        announced: address.announced,
        shard: address.shard,
        flags: NodeFlags::parse(flags).ok_or_else(|| bad("flags", flags))?,
        master: if master == "-" {
            None
        } else {
            Some(node_id(master)?)
        },
        ping_sent: ping.parse().map_err(|_| bad("time of ping", ping))?,
        pong_received: pong.parse().map_err(|_| bad("time of pong", pong))?,
        config_epoch: epoch(config_epoch)?,
        connected: match link {
            "connected" => true,
            "disconnected" => false,
            other => return Err(bad("link state", other)),
        },
        slots: SlotSet::new(),
        migrating: Vec::new(),
        importing: Vec::new(),
    };
    if node.master == Some(node.id) {
        return Err(Problem::OwnMaster);
    }
    for text in slots {
        parse_slots(text, &mut node)?;
    }
    Ok(node)
}

/// The second field of a line.
#[derive(Default)]
struct Address {
    ip: Option<IpAddr>,
    port: u16,
    bus_port: u16,
    tls_port: u16,
    announced: Announced,
    shard: Option<NodeId>,
}

/// Whether a text can stand in a line: as today's servers have it, without what separates fields.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|c| c > b',' && c < 0x7f && !b";<=>?@[]^{|}~\\".contains(&c))
}

/// `ip:port`, `ip:port@busport`, either with `,hostname` and `,key=value…` behind; the address itself may be missing.
fn parse_address(text: &str) -> Option<Address> {
    let mut fields = text.split(',');
    let address = fields.next()?;
    let (client, bus_port) = match address.split_once('@') {
        Some((client, bus_port)) => (client, Some(bus_port.parse::<u16>().ok()?)),
        None => (address, None),
    };
    let (ip, port) = client.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let mut found = Address {
        ip: match ip {
            "" => None,
            ip => Some(ip.parse().ok()?),
        },
        port,
        ..Address::default()
    };
    found.bus_port = bus_port.unwrap_or(match port {
        0 => 0,
        port => port.saturating_add(BUS_PORT_OFFSET),
    });
    let hostname = fields.next().unwrap_or_default();
    found.announced.hostname = Some(hostname).filter(|name| is_plain(name))?.to_owned();
    for field in fields {
        let (key, value) = field.split_once('=')?;
        take_field(
            &mut found,
            key,
            Some(value).filter(|value| is_plain(value))?,
        )?;
    }
    Some(found)
}

/// Takes in one `key=value`. Keys of other versions are passed over.
fn take_field(found: &mut Address, key: &str, value: &str) -> Option<()> {
    let announced = &mut found.announced;
    let port = || value.parse::<u16>().ok();
    let text = || value.to_owned();
    match key {
        "shard-id" => found.shard = Some(NodeId::parse(value.as_bytes())?),
        "nodename" => announced.nodename = text(),
        // In the file the first port is the one without TLS, unless it is named here.
        "tcp-port" => (found.tls_port, found.port) = (found.port, port()?),
        "tls-port" => found.tls_port = port()?,
        "client-ipv4" => announced.client_ipv4 = text(),
        "client-ipv6" => announced.client_ipv6 = text(),
        "client-tcp-port" => announced.client_port = port()?,
        "client-tls-port" => announced.client_tls_port = port()?,
        "availability-zone" => announced.availability_zone = text(),
        _ => {}
    }
    Some(())
}

/// `7`, `7-9`, `[7->-ID]` or `[7-<-ID]`.
fn parse_slots(text: &str, node: &mut NodeLine) -> Result<(), Problem> {
    let malformed = || bad("slot", text);
    if let Some(open) = text.strip_prefix('[') {
        let (slot, rest) = open
            .strip_suffix(']')
            .and_then(|open| open.split_once('-'))
            .ok_or_else(malformed)?;
        let (arrow, other) = rest.split_once('-').ok_or_else(malformed)?;
        let entry = (slot_number(slot).ok_or_else(malformed)?, node_id(other)?);
        match arrow {
            ">" => node.migrating.push(entry),
            "<" => node.importing.push(entry),
            _ => return Err(malformed()),
        }
        return Ok(());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = slot_number(first)
        .zip(slot_number(last))
        .ok_or_else(malformed)?;
    if first > last {
        return Err(malformed());
    }
    let range = Slot::all()
        .skip(first.index())
        .take(last.index() - first.index() + 1);
    for slot in range {
        if !node.slots.insert(slot) {
            return Err(Problem::DuplicateSlot(slot));
        }
    }
    Ok(())
}

/// What no line shows alone: ids and slots are described once, and every node that is mentioned is there.
fn check_together(nodes: &[(usize, NodeLine)], end: usize) -> Result<(), ParseError> {
    let mut ids = BTreeMap::new();
    let mut taken = SlotSet::new();
    for (line, node) in nodes {
        let problem = |problem| ParseError {
            line: *line,
            problem,
        };
        if ids.insert(node.id, ()).is_some() {
            return Err(problem(Problem::DuplicateNode(node.id)));
        }
        if let Some(slot) = node.slots.iter().find(|slot| !taken.insert(*slot)) {
            return Err(problem(Problem::DuplicateSlot(slot)));
        }
    }
    for (line, node) in nodes {
        let others = node
            .migrating
            .iter()
            .chain(&node.importing)
            .map(|(_, other)| *other)
            .chain(node.master);
        for other in others {
            if !ids.contains_key(&other) {
                return Err(ParseError {
                    line: *line,
                    problem: Problem::UnknownNode(other),
                });
            }
        }
    }
    let selves = nodes
        .iter()
        .filter(|(_, node)| node.flags.has(NodeFlags::MYSELF))
        .count();
    if selves == 1 {
        Ok(())
    } else {
        Err(ParseError {
            line: end,
            problem: Problem::NotOneMyself,
        })
    }
}

fn bad(field: &'static str, text: &str) -> Problem {
    // A damaged file may hold a line of megabytes: show its start.
    Problem::BadField {
        field,
        text: text.chars().take(80).collect(),
    }
}

fn node_id(text: &str) -> Result<NodeId, Problem> {
    NodeId::parse(text.as_bytes()).ok_or_else(|| bad("node id", text))
}

fn epoch(text: &str) -> Result<u64, Problem> {
    text.parse()
        .ok()
        .filter(|epoch| *epoch <= MAX_EPOCH)
        .ok_or_else(|| bad("epoch", text))
}

fn slot_number(text: &str) -> Option<Slot> {
    text.parse().ok().and_then(Slot::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3: &str = include_str!("../tests/data/redis-3.0.7-nodes.conf");
    const V7: &str = include_str!("../tests/data/redis-7.2.6-nodes.conf");
    const NODES_V3: &str = include_str!("../tests/data/redis-3.0.7-cluster-nodes.txt");
    const NODES_V7: &str = include_str!("../tests/data/redis-7.2.6-cluster-nodes.txt");
    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_file_of_3_0_is_understood_and_written_as_today() {
        let conf = parse(V3.as_bytes()).unwrap();
        assert_eq!(
            (conf.current_epoch, conf.last_vote_epoch, conf.nodes.len()),
            (6, 6, 5)
        );
        let text = conf.to_string();
        assert_eq!(parse(text.as_bytes()), Ok(conf.clone()));
        for (line, node) in V3.lines().zip(&conf.nodes) {
            let address = line.split(' ').nth(1).unwrap();
            let bus_port = node.port + 10000;
            let today = format!("{address}@{bus_port},,tls-port=0");
            assert!(text.contains(&line.replace(address, &today)), "{text}");
        }
    }

    #[test]
    fn a_file_of_7_2_is_understood() {
        let conf = parse(V7.as_bytes()).unwrap();
        assert_eq!((conf.current_epoch, conf.nodes.len()), (6, 5));
        assert_eq!((conf.nodes[0].port, conf.nodes[0].bus_port), (9323, 19323));
        assert!(conf.nodes[0].shard.is_some());
        assert_eq!(conf.to_string(), V7, "and comes back byte for byte");
    }

    #[test]
    fn the_reply_of_cluster_nodes_is_understood() {
        let nodes = parse_nodes(NODES_V3.as_bytes()).unwrap();
        assert_eq!(nodes.len(), NODES_V3.lines().count());
        let nodes = parse_nodes(NODES_V7.as_bytes()).unwrap();
        let text: String = nodes.iter().map(|node| format!("{node}\n")).collect();
        assert_eq!(text, NODES_V7);
    }

    #[test]
    fn no_cut_file_is_accepted() {
        assert_eq!(load(b""), Ok(None));
        for text in [V3, V7] {
            let last_number = text.trim_end().rfind(' ').unwrap() + 1;
            for len in 1..=last_number {
                assert!(
                    parse(&text.as_bytes()[..len]).is_err(),
                    "cut to {len} bytes"
                );
            }
        }
        let without_vars = V3.split_once("vars").unwrap().0;
        assert_eq!(
            parse(without_vars.as_bytes()).unwrap_err(),
            ParseError {
                line: 6,
                problem: Problem::NoVars
            }
        );
    }

    #[test]
    fn without_its_last_line_end_a_file_has_given_every_vote() {
        let text = format!("{A} :7000 myself,master - 0 0 1 connected\n");
        let text = text + "vars currentEpoch 25 lastVoteEpoch 17";
        for text in [&text[..], &text[..text.len() - 1]] {
            let conf = parse(text.as_bytes()).unwrap();
            assert_eq!((conf.current_epoch, conf.last_vote_epoch), (25, 25));
        }
        let other_way_round = text.replace("currentEpoch 25 ", "") + " currentEpoch 25";
        assert_eq!(
            parse(other_way_round.as_bytes()).unwrap_err().problem,
            Problem::NoFinalNewline
        );
    }

    #[test]
    fn padding_and_open_slots_are_read() {
        let text = format!(
            "{A} :7000 myself,master - 0 0 1 connected 0-2 5 [5->-{B}] [7-<-{B}]\n\n\
             {B} ::1:7001@9 master,fail? - 3 4 2 disconnected 7,x\n"
        );
        assert!(parse_nodes(text.as_bytes()).is_err());
        let text =
            text.replace(" 7,x", " 7") + "vars currentEpoch 2 lastVoteEpoch 0 futureVar 1\n\n\n";
        let conf = parse(text.as_bytes()).unwrap();
        assert_eq!(conf.nodes[0].slots.len(), 4);
        assert_eq!(
            conf.nodes[0].migrating,
            [(Slot::new(5).unwrap(), B.parse().unwrap())]
        );
        assert_eq!(conf.nodes[1].bus_port, 9);
        assert_eq!(conf.nodes[1].ip, Some("::1".parse().unwrap()));
        assert_eq!(parse(conf.to_string().as_bytes()), Ok(conf));
    }

    #[test]
    fn every_announcement_comes_back() {
        let shard = "c".repeat(40);
        let line = format!(
            "{A} 127.0.0.1:7000@7001,a.example,availability-zone=az-1,client-tls-port=4,client-tcp-port=3,client-ipv6=::2,client-ipv4=10.0.0.1,tls-port=5,nodename=one,shard-id={shard} myself,master - 0 0 1 connected 0-9\n{VARS}"
        );
        let conf = parse(line.as_bytes()).unwrap();
        assert_eq!(conf.to_string(), line);
        let announced = &conf.nodes[0].announced;
        assert_eq!(
            (announced.hostname.as_str(), announced.nodename.as_str()),
            ("a.example", "one")
        );
        assert_eq!((announced.client_port, announced.client_tls_port), (3, 4));
        assert_eq!(
            conf.nodes[0].to_string(),
            format!("{A} 127.0.0.1:7000@7001,a.example myself,master - 0 0 1 connected 0-9")
        );
        for (good, worse) in [
            ("tls-port=5", "tls-port=x"),
            ("nodename=one", "nodename=o\u{7f}e"),
            ("nodename=one", "nodename"),
            (&shard[..], "c"),
        ] {
            assert!(
                parse(line.replace(good, worse).as_bytes()).is_err(),
                "{worse}"
            );
        }
        // A key of another version does no harm.
        assert!(parse(line.replace("nodename=", "colour=").as_bytes()).is_ok());
    }

    const VARS: &str = "vars currentEpoch 1 lastVoteEpoch 0\n";

    fn refused(text: &str, line: usize, problem: Problem) {
        assert_eq!(
            parse(text.as_bytes()),
            Err(ParseError { line, problem }),
            "{text}"
        );
    }

    fn me() -> String {
        format!("{A} 127.0.0.1:1 myself,master - 0 0 1 connected 0-9\n")
    }

    #[test]
    fn contradictions_between_lines_name_the_second() {
        let me = me();
        let other = format!("{B} 127.0.0.1:2 slave {A} 0 0 1 connected\n");
        let a = A.parse().unwrap();
        let slot = Slot::new(9).unwrap();
        let same_slot = other.replace("connected", "connected 9");
        let own_master = other.replace(A, B);
        let second_self = other.replace("slave", "myself,slave");
        refused(&format!("{me}{me}{VARS}"), 2, Problem::DuplicateNode(a));
        refused(
            &format!("{me}{same_slot}{VARS}"),
            2,
            Problem::DuplicateSlot(slot),
        );
        refused(&format!("{other}{VARS}"), 1, Problem::UnknownNode(a));
        refused(&format!("{me}{own_master}{VARS}"), 2, Problem::OwnMaster);
        refused(
            &format!("{}{VARS}", me.replace("myself,", "")),
            3,
            Problem::NotOneMyself,
        );
        refused(
            &format!("{me}{second_self}{VARS}"),
            4,
            Problem::NotOneMyself,
        );
        refused(&format!("{me}{VARS}{other}"), 3, Problem::AfterVars);
    }

    #[test]
    fn malformed_fields_are_shown() {
        let me = me();
        let cases = [
            ("0-9", "9-0", "slot", "9-0"),
            ("0-9", "16384", "slot", "16384"),
            ("0-9", "[1>-x]", "slot", "[1>-x]"),
            (":1 ", ":99999 ", "address", "127.0.0.1:99999"),
            ("127.0.0.1", "nowhere", "address", "nowhere:1"),
            ("master", "boss", "flags", "myself,boss"),
            (" connected", " tied", "link state", "tied"),
            (" 0 0 1 ", " -1 0 1 ", "time of ping", "-1"),
            (" 0 0 1 ", " 0 x 1 ", "time of pong", "x"),
            (
                " 0 0 1 ",
                " 0 0 9223372036854775808 ",
                "epoch",
                "9223372036854775808",
            ),
            (
                "aaaa ",
                "AAAA ",
                "node id",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaAAAA",
            ),
        ];
        for (good, worse, field, text) in cases {
            refused(
                &format!("{}{VARS}", me.replace(good, worse)),
                1,
                bad(field, text),
            );
        }
        refused(&format!("x y z\n{VARS}"), 1, Problem::TooFewFields(3));
        refused(
            &format!("{me}vars currentEpoch 1 lastVoteEpoch\n"),
            2,
            Problem::BadVars,
        );
        refused(&format!("{me}vars currentEpoch 1\n"), 2, Problem::BadVars);
        refused("\n\u{e9}\n", 2, Problem::TooFewFields(1));
        assert_eq!(
            parse(b"\n\xff\n").unwrap_err(),
            ParseError {
                line: 2,
                problem: Problem::NotText
            }
        );
    }

    #[test]
    fn a_shard_that_is_not_its_masters_is_noticed() {
        let (master, replica) = ("a".repeat(40), "b".repeat(40));
        let file = |shard: char| {
            let (one, other) = ("c".repeat(40), shard.to_string().repeat(40));
            format!(
                "{master} 127.0.0.1:1@2,,tls-port=0,shard-id={one} myself,master - 0 0 1 connected\n\
                 {replica} 127.0.0.1:3@4,,tls-port=0,shard-id={other} slave {master} 0 0 1 connected\n\
                 vars currentEpoch 1 lastVoteEpoch 0\n"
            )
        };
        let differ = |shard| parse(file(shard).as_bytes()).unwrap().shards_differ();
        assert!(differ('d') && !differ('c'));
    }
}
