# Calls the service as a program on SOAP::Lite does: messages made by hand, without the WSDL. README.md says how to talk to it.
#
#     perl soap_lite.pl WSDL-URL 1.1|1.2

use strict;
use warnings;
use JSON::PP;
use SOAP::Lite;

my ($url, $version) = @ARGV;
$| = 1;

my $namespace = 'sosonlinebackup.com';
# The namespace is the default one: with ns() and a header in the same namespace SOAP::Lite writes a prefix that it does not
# declare.
my $soap = SOAP::Lite->soapversion($version)->proxy($url =~ s/\?.*//r, timeout => 60)->default_ns($namespace)
    ->on_action(sub { "\"$namespace/$_[1]\"" })
    # A fault is an answer; what is none has no envelope.
    ->on_fault(sub { $_[1] });

my %array_of = (
    GetAssignedLicensesSummary => ['UsersLicenses', 'UserLicenseSummary'],
    GetLicensePools => ['Pools', 'LicensePool'],
    AssignLicenses => ['Results', 'AssignLicensesItemResult'],
);

while (my $line = <STDIN>) {
    my $json = JSON::PP->new->utf8->allow_nonref;
    print $json->encode(answer($json->decode($line))), "\n";
}

sub answer {
    my ($given) = @_;
    my $operation = $given->{operation};
    my $header = SOAP::Header->name(AuthHeader => \SOAP::Data->value(
        elements({ UserName => $given->{user_name}, Password => $given->{password} }),
    ))->attr({ xmlns => $namespace });
    my $som = $soap->call($operation, elements({ request => $given->{request} }), $header);
    return { error => $soap->transport->status } if !ref $som;
    if ($som->fault) {
        my ($code) = ($som->valueof('//Fault/faultcode'), $som->valueof('//Fault/Code/Value'));
        my ($text) = ($som->valueof('//Fault/faultstring'), $som->valueof('//Fault/Reason/Text'));
        return { fault => $text, faultcode => $code };
    }
    my $returned = $som->result;
    my $result = delete $returned->{Result};
    if (my ($array, $item) = @{ $array_of{$operation} // [] }) {
        # Of elements with one name a hash has the last.
        $returned->{$array} = { $item => [$som->valueof("//$array/$item")] };
    }
    return { result => 0 + $result->{Result}, code => $result->{Code}, message => $result->{Message}, %{ plain($returned) } };
}

sub elements {
    my ($members) = @_;
    return map {
        my ($name, $value) = ($_, $members->{$_});
        my @values = ref $value eq 'ARRAY' ? @$value : $value;
        map {
            my $type = ref $_;
            # With the type left to SOAP::Lite, a text that is no ASCII goes out as base64.
            $type eq 'HASH' ? SOAP::Data->name($name => \SOAP::Data->value(elements($_)))
                : $type eq 'JSON::PP::Boolean' ? SOAP::Data->name($name => $_ ? 'true' : 'false')->type('boolean')
                : SOAP::Data->name($name => $_)->type(/^-?\d+$/ && $name =~ /Id$/ ? 'int' : 'string');
        } @values;
    } sort keys %$members;
}

# SOAP::Lite hands out texts only, null as undef.
sub plain {
    my ($value, $name) = (@_, '');
    return { map { $_ => plain($value->{$_}, $_) } keys %$value } if ref $value eq 'HASH';
    return [map { plain($_) } @$value] if ref $value eq 'ARRAY';
    return defined $value && $name =~ /^(Seats|Result$)/ ? 0 + $value : $value;
}
