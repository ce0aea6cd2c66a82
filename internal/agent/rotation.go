package agent

import (
	"cmp"
	"fmt"
	"time"
)

// The environment of fetch and sync in pods whose secrets rotate.
const (
	rotationEnv     = "TWELVEFOLD_ROTATION"
	intervalEnv     = "TWELVEFOLD_INTERVAL"
	rotateFiles     = "files"
	rotateByRestart = "restart"
	defaultInterval = "2m"
)

// rotation reads how sync is to bring new versions, and how often it is to look for them.
func (d *delivery) rotation() (how string, interval time.Duration, err error) {
	how = d.Env(rotationEnv)
	if how != rotateFiles && how != rotateByRestart {
		return "", 0, fmt.Errorf("%s: %q is none of files, restart", rotationEnv, how)
	}
	interval, err = time.ParseDuration(cmp.Or(d.Env(intervalEnv), defaultInterval))
	if err != nil || interval <= 0 {
		return "", 0, fmt.Errorf("%s: it is no duration like 2m or 90s; correct the policy's keyVault.rotationInterval", intervalEnv)
	}
	return how, interval, nil
}
