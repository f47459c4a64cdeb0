// Package people has the users: their names, passwords and roles, the logins of pages, and the pauses for those who guess.
//
// Users come from two places: from the state, where REST and the commands change them, and from a file in the form of htpasswd, which the
// operator writes. A name that is in both counts as it stands in the file. If there is no user at all when the server starts, the server makes
// an administrator with a password of its own.
//
// A page logs in once and gets a session: a random secret, of which only the hash is kept. A program sends name and password with each request.
// Both become an access.Principal of the kind user, with the grants of the user's role as it is now.
//
// People.Run reads the file again when it has changed, and ends sessions that nobody uses. Nothing here knows HTTP.
package people
