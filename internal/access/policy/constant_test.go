package policy

import "testing"

// What is known of conditions, and of whether they can fail.
func TestConditions(t *testing.T) {
	for condition, want := range map[string]verdict{
		`true`:                        {truth: always},
		`false`:                       {truth: never},
		`!(1 == 2)`:                   {truth: always},
		`1 + 1 == 2 && "a" like "?"`:  {truth: never},
		`[1, 2].containsAny([2])`:     {truth: always},
		`Token::"a" is Identity`:      {truth: never},
		`ip("10.0.0.1").isLoopback()`: {truth: never},
		`if 1 < 2 then true else 1 < context.weekday * 2`:                       {truth: always},
		`9223372036854775807 + 1 == 0`:                                          {fails: true},
		`ip("nowhere").isLoopback()`:                                            {fails: true},
		`context.weekday == 1`:                                                  {},
		`context.weekday == 1 && false`:                                         {truth: never},
		`context.weekday == 1 || true`:                                          {truth: always},
		`context.weekday * 2 == 2`:                                              {fails: true},
		`context.weekday * 2 == 2 && false`:                                     {fails: true},
		`context.weekday * 2 == 2 || true`:                                      {fails: true},
		`false && context.weekday * 2 == 2`:                                     {truth: never},
		`true || context.weekday * 2 == 2`:                                      {truth: always},
		`!(true && context.weekday - 2 == 2)`:                                   {fails: true},
		`-context.weekday == 2`:                                                 {fails: true},
		`if context.weekday == 1 then false else 1 == 2`:                        {truth: never},
		`if context.weekday + 1 == 1 then true else true`:                       {fails: true},
		`if context.weekday == 1 then true else false`:                          {},
		`context.time < datetime("2026-12-24")`:                                 {},
		`context.time.toTime() < duration("8h")`:                                {},
		`context.time.offset(duration("8h")) < context.time`:                    {fails: true},
		`context.time.toDate() < context.time`:                                  {fails: true},
		`context.source.isInRange(ip("10.0.0.0/8"))`:                            {},
		`principal in Role::"viewer" && resource.path like "a*"`:                {},
		`resource.hasTag("a") && resource.getTag("a") == "b"`:                   {},
		`Role::"a" in Role::"b"`:                                                {}, // entities decide it
		`{"a": 1}.a == 1`:                                                       {},
		`context.certificate.dns.containsAll(["a"]) && context.source.isIpv4()`: {},
	} {
		all, err := parseFile(File{Name: "team", Text: "permit (principal, action, resource) when { " + condition + " };\nforbid (principal, action, resource) unless { " + condition + " };"})
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		if got := conditionOf(all[0].ast); got != want {
			t.Errorf("when %s: got %+v, want %+v", condition, got, want)
		}
		if got := conditionOf(all[1].ast); got != want.not() {
			t.Errorf("unless %s: got %+v, want %+v", condition, got, want.not())
		}
	}
}

func TestConditionsThatAskForRoles(t *testing.T) {
	for condition, want := range map[string]bool{
		`principal in Role::"a"`:                               true,
		`true || !(principal in [Role::"a"])`:                  true,
		`principal is Token in Role::"a"`:                      true,
		`(if true then principal else principal) in Role::"a"`: true,
		`resource in Path::"a"`:                                false,
		`principal == Token::"a"`:                              false,
		`principal is Token && context.weekday == 1`:           false,
	} {
		all, err := parseFile(File{Name: "team", Text: "permit (principal, action, resource) when { " + condition + " };"})
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		if got := asksForRoles(all[0].ast); got != want {
			t.Errorf("%s: got %v", condition, got)
		}
	}
}
