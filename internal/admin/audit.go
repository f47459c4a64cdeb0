package admin

import (
	"cmp"
	"context"
	"flag"
	"strings"
	"time"
)

var auditCommand = group{name: "audit", summary: "list who has done what, the newest first", prepare: listAudit}

func listAudit(f *flag.FlagSet) runner {
	limit := f.Int("limit", 0, "how many lines at most; the `NUMBER` is 100 if it is not given")
	before := f.Int("before", 0, "only lines before the one with this `ID`")
	do := f.String("do", "", "only lines about this `ACTION`, such as push/startup, or about those below it, such as push")
	who := f.String("who", "", "only lines with this `NAME` or address")
	return func(ctx context.Context, s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		lines, err := c.AuditLog(ctx, *limit, *before, *do, *who)
		if err != nil {
			return err
		}
		return s.show(func() error {
			var rows [][]string
			for _, l := range lines {
				result := "ok"
				if !l.OK {
					result = "refused"
				}
				about := strings.Join(strings.Fields(l.Object+" "+l.Stream+" "+l.Target), " ")
				rows = append(rows, []string{l.At.Local().Format(time.DateTime), l.Who.Kind, cmp.Or(l.Who.Sub, l.Who.ID), l.From, l.Do, about, result, l.Why})
			}
			return s.table([]string{"AT", "KIND", "WHO", "FROM", "ACTION", "ABOUT", "RESULT", "WHY"}, rows)
		})
	}
}
