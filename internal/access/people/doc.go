// Package people has the users: their names, passwords and roles, the logins of pages, and the pauses for those who guess.
package people
