# Calls the service as a program on Tcl Web Services does, knowing only where the WSDL is. README.md says how to talk to it.
#
#     tclsh tcl_client.tcl WSDL-URL 1.1

package require WS::Client
package require json
package require json::write
json::write indented 0

lassign $argv url version
if {$version ne "1.1"} {
    error "Tcl Web Services knows SOAP 1.1 only"
}
set service LicenseManagementService

# What operations return, besides the result: the name of a member and its items, or the name alone.
set returned {
    GetAssignedLicenseDetails {ProductKey {} LicenseData {}}
    GetAssignedLicensesSummary {UsersLicenses UserLicenseSummary}
    GetLicensePools {Pools LicensePool}
    AssignLicenses {Results AssignLicensesItemResult}
}

proc text {value} {
    # json::write leaves what is no ASCII as it is.
    json::write string $value
}

proc item {members} {
    set out {}
    dict for {name value} $members {
        if {$name eq "Result"} {
            lappend out Result [json::write object Result [dict get $value Result] Code [text [dict get $value Code]]]
        } elseif {[string match Seats* $name]} {
            lappend out $name $value
        } else {
            lappend out $name [expr {$value eq "" ? "null" : [text $value]}]
        }
    }
    json::write object {*}$out
}

proc call {given} {
    global service returned
    set operation [dict get $given operation]
    # The members of the header block are arguments of the call.
    set arguments [dict create UserName [dict get $given user_name] Password [dict get $given password]]
    dict set arguments request [dict get $given request]
    try {
        set answer [WS::Client::DoCall $service $operation $arguments]
    } trap {WS CLIENT REMERR} {text options} {
        set code [lindex [dict get $options -errorcode] 3]
        return [json::write object fault [text $text] faultcode [text $code]]
    } on error {text options} {
        return [json::write object error [text $text]]
    }
    set answer [dict get $answer ${operation}Result]
    set result [dict get $answer Result]
    set out [list result [dict get $result Result] code [text [dict get $result Code]] message [text [dict get $result Message]]]
    if {[dict exists $returned $operation]} {
        dict for {name items} [dict get $returned $operation] {
            if {![dict exists $answer $name]} {
                continue
            } elseif {$items eq ""} {
                lappend out $name [text [dict get $answer $name]]
            } else {
                set all {}
                foreach item [expr {[dict exists $answer $name $items] ? [dict get $answer $name $items] : {}}] {
                    lappend all [item $item]
                }
                lappend out $name [json::write object $items [json::write array {*}$all]]
            }
        }
    }
    json::write object {*}$out
}

WS::Client::GetAndParseWsdl $url
chan configure stdin -encoding utf-8
chan configure stdout -encoding utf-8 -buffering line
while {[gets stdin line] >= 0} {
    puts [call [json::json2dict $line]]
}
