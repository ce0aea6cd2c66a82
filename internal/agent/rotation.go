package agent

import (
	"cmp"
	"fmt"
	"time"

	"twelvefold.dev/internal/keyvault"
)

// rotation reads how sync is to bring new versions, and how often it is to look for them.
func (d *delivery) rotation() (how string, interval time.Duration, err error) {
	how = d.Env(keyvault.RotationEnv)
	if how != keyvault.RotateFiles && how != keyvault.RotateByRestart {
		return "", 0, fmt.Errorf("%s: %q is none of files, restart", keyvault.RotationEnv, how)
	}
	interval, err = time.ParseDuration(cmp.Or(d.Env(keyvault.IntervalEnv), keyvault.DefaultInterval))
	if err != nil || interval <= 0 {
		return "", 0, fmt.Errorf("%s: it is no duration like 2m or 90s; correct the policy's keyVault.rotationInterval", keyvault.IntervalEnv)
	}
	return how, interval, nil
}
