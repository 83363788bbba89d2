//! Rows of the group "list".

use crate::table::{DataFn, Group, Row, index, key, keynum, range, row};
use crate::{list, older};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("blpop", -3, "write blocking", Group::List)
        .keys(&[key("RW access delete", index(1), range(-2, 1, 0))])
        .args("key:key0* timeout:double")
        .about(
            "2.0.0",
            "Pops the first element of the first list that has any, or waits",
        )
        .costs("O(N), N the keys given")
        .run(list::blpop),
    row("brpop", -3, "write blocking", Group::List)
        .keys(&[key("RW access delete", index(1), range(-2, 1, 0))])
        .args("key:key0* timeout:double")
        .about(
            "2.0.0",
            "Pops the last element of the first list that has any, or waits",
        )
        .costs("O(N), N the keys given")
        .run(list::brpop),
    row("brpoplpush", 4, "write denyoom blocking", Group::List)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("RW insert", index(2), range(0, 1, 0)),
        ])
        .args("source:key0 destination:key1 timeout:double")
        .about(
            "2.2.0",
            "Moves the last element of a list to the head of another, or waits",
        )
        .costs("O(1)")
        .run(list::brpoplpush),
    row("lindex", 3, "readonly", Group::List)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 index:int")
        .about("1.0.0", "Returns an element of a list by its index")
        .costs("O(N), N the elements passed on the way; O(1) for both ends")
        .run(list::lindex),
    row("linsert", 5, "write denyoom", Group::List)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 where{before:token=BEFORE after:token=AFTER} pivot element")
        .about("2.2.0", "Inserts an element beside another one of a list")
        .costs("O(N), N the elements passed on the way to the pivot")
        .run(list::linsert),
    row("llen", 2, "readonly fast", Group::List)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.0.0", "Counts the elements of a list")
        .costs("O(1)")
        .run(list::llen),
    row("lpop", -2, "write fast", Group::List)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .args("key:key0 count:int@6.2.0?")
        .about("1.0.0", "Pops elements from the head of a list")
        .costs("O(N), N the elements returned")
        .older(older::lpop)
        .run(list::lpop),
    row("lpush", -3, "write denyoom fast", Group::List)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 element*")
        .about("1.0.0", "Adds elements at the head of a list")
        .costs("O(N), N the elements given")
        .run(list::lpush),
    row("lpushx", -3, "write denyoom fast", Group::List)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 element*")
        .about("2.2.0", "Adds elements at the head of a list that exists")
        .costs("O(N), N the elements given")
        .older(older::lpushx)
        .run(list::lpushx),
    row("lrange", 4, "readonly", Group::List)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 start:int stop:int")
        .about("1.0.0", "Returns a range of a list")
        .costs("O(S+N), S the distance of the start from the nearer end, N the elements returned")
        .run(list::lrange),
    row("lrem", 4, "write", Group::List)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 count:int element")
        .about("1.0.0", "Removes equal elements from a list")
        .costs("O(N+M), N the elements of the list, M those removed")
        .run(list::lrem),
    row("lset", 4, "write denyoom", Group::List)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 index:int element")
        .about("1.0.0", "Replaces an element of a list by its index")
        .costs("O(N), N the elements of the list; O(1) for both ends")
        .run(list::lset),
    row("ltrim", 4, "write", Group::List)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 start:int stop:int")
        .about("1.0.0", "Keeps only a range of a list")
        .costs("O(N), N the elements removed")
        .run(list::ltrim),
    row("rpop", -2, "write fast", Group::List)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .args("key:key0 count:int@6.2.0?")
        .about("1.0.0", "Pops elements from the tail of a list")
        .costs("O(N), N the elements returned")
        .older(older::rpop)
        .run(list::rpop),
    row("rpoplpush", 3, "write denyoom", Group::List)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("RW insert", index(2), range(0, 1, 0)),
        ])
        .args("source:key0 destination:key1")
        .about(
            "1.2.0",
            "Moves the last element of a list to the head of another",
        )
        .costs("O(1)")
        .run(list::rpoplpush),
    row("rpush", -3, "write denyoom fast", Group::List)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 element*")
        .about("1.0.0", "Adds elements at the tail of a list")
        .costs("O(N), N the elements given")
        .run(list::rpush),
    row("rpushx", -3, "write denyoom fast", Group::List)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 element*")
        .about("2.2.0", "Adds elements at the tail of a list that exists")
        .costs("O(N), N the elements given")
        .older(older::rpushx)
        .run(list::rpushx),
    row("blmove", 6, "write denyoom blocking", Group::List)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("RW insert", index(2), range(0, 1, 0)),
        ])
        .args(
            "source:key0 destination:key1 wherefrom{left:token=LEFT \
                right:token=RIGHT} whereto{left:token=LEFT right:token=RIGHT} \
                timeout:double",
        )
        .about("6.2.0", "Moves an element between lists, or waits for one")
        .costs("O(1)")
        .run(list::blmove),
    row("blmpop", -5, "write blocking movablekeys", Group::List)
        .keys(&[key("RW access delete", index(2), keynum(0, 1, 1))])
        .args(
            "timeout:double numkeys:int key:key0* where{left:token=LEFT \
                right:token=RIGHT} count:int=COUNT?",
        )
        .about(
            "7.0.0",
            "Pops elements from the first list that has any, or waits",
        )
        .costs("O(N+M), N the keys given, M the elements popped")
        .run(list::blmpop),
    row("lmove", 5, "write denyoom", Group::List)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("RW insert", index(2), range(0, 1, 0)),
        ])
        .args(
            "source:key0 destination:key1 wherefrom{left:token=LEFT \
                right:token=RIGHT} whereto{left:token=LEFT right:token=RIGHT}",
        )
        .about("6.2.0", "Moves an element between lists")
        .costs("O(1)")
        .older(older::lmove)
        .run(list::lmove),
    row("lmpop", -4, "write movablekeys", Group::List)
        .keys(&[key("RW access delete", index(1), keynum(0, 1, 1))])
        .args(
            "numkeys:int key:key0* where{left:token=LEFT right:token=RIGHT} \
                count:int=COUNT?",
        )
        .about("7.0.0", "Pops elements from the first list that has any")
        .costs("O(N+M), N the keys given, M the elements popped")
        .run(list::lmpop),
    row("lpos", -3, "readonly", Group::List)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 element rank:int=RANK? num-matches:int=COUNT? len:int=MAXLEN?")
        .about("6.0.6", "Finds elements of a list")
        .costs("O(N), N the elements of the list, or MAXLEN")
        .run(list::lpos),
];
