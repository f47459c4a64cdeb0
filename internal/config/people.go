package config

// peopleSettings are the settings of users, their logins, and what is written down about them.
func (c *Config) peopleSettings() []setting {
	return []setting{
		text("rest_users_file", &c.People.UsersFile),
		text("admin_password", (*string)(&c.People.Password)),
		text("admin_password_file", &c.People.PasswordFile),
		boolean("login_over_http", &c.REST.LoginOverHTTP),
		boolean("rtmp_push_outlives_user", &c.People.KeepPushes),
		text("audit_log", &c.Audit.File),
	}
}
