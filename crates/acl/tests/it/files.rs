//! Files of users.

use acl::print_users;

use crate::{set, shown, users};

#[test]
fn what_is_printed_can_be_loaded() {
    let mut users = users();
    set(&mut users, "a", "on >x ~k* &c +@read (%W~y db=3 +set)").unwrap();
    let text = print_users(&users);
    set(&mut users, "b", "on").unwrap();
    set(&mut users, "default", "off").unwrap();
    assert_eq!(users.load(b"f", &text), Ok(()));
    assert_eq!(print_users(&users), text);
    assert!(users.get(b"b").is_none());
    assert!(users.default_user().is_enabled());
}

#[test]
fn blank_lines_and_blanks_are_left_out_and_the_default_user_is_made_again() {
    let mut users = users();
    set(&mut users, "default", "off").unwrap();
    let text = b"\n  user a on  (~x +get)\t\r\n\n";
    assert_eq!(users.load(b"f", text), Ok(()));
    assert_eq!(
        shown(&users, "a"),
        "on resetchannels -@all (~x resetchannels -@all +get)"
    );
    assert_eq!(shown(&users, "default"), "on nopass ~* &* +@all");
}

#[test]
fn all_faults_are_told_and_nothing_is_changed() {
    let mut users = users();
    set(&mut users, "a", "on").unwrap();
    let text = b"user a +nosuch ~* ~x ~y +other\nusr b\nuser a\nuser\nuser b (~x\nuser \tc on\nuser d secret";
    let error = users.load(b"f", text).unwrap_err();
    let wanted = "f:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. \
        f:1: Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
        Try 'resetkeys' to start with an empty list of patterns. \
        f:1: Error in applying operation '+other': Unknown command or category name in ACL. \
        f:2 should start with user keyword followed by the username. \
        WARNING: Duplicate user 'a' found on line 3. \
        f:4 should start with user keyword followed by the username. \
        f:5: Unmatched parenthesis in selector definition.\
        'f:6: username '\tc' contains invalid characters. \
        f:7: Syntax error. \
        WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    assert_eq!(String::from_utf8(error.0).unwrap(), wanted);
    assert_eq!(shown(&users, "a"), "on resetchannels -@all");
}
